"""Boxes as TensorFlow tensors, (y1, x1, y2, x2): IoU, refinement by deltas, clipping, pixels to fractions."""

import tensorflow as tf

from mrcnn.shapes.boxes import FRACTION_SHIFT

LARGEST_GROWTH = 10.0
"""Upper limit of log dh and log dw, so that sides stay finite."""


def areas(boxes: tf.Tensor) -> tf.Tensor:
    """Return the areas [...] of boxes [..., 4], in the square of their unit; inverted boxes have area 0."""
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    return tf.maximum(y2 - y1, 0.0) * tf.maximum(x2 - x1, 0.0)


def intersections(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the intersection areas [..., N, M] of first [..., N, 4] with second [..., M, 4]."""
    a, b = first[..., :, None, :], second[..., None, :, :]
    sides = tf.minimum(a[..., 2:], b[..., 2:]) - tf.maximum(a[..., :2], b[..., :2])
    sides = tf.maximum(sides, 0.0)
    return sides[..., 0] * sides[..., 1]


def overlaps(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the intersection over union [..., N, M] of first [..., N, 4] with second [..., M, 4]; 0 if empty."""
    shared = intersections(first, second)
    union = areas(first)[..., :, None] + areas(second)[..., None, :] - shared
    return tf.math.divide_no_nan(shared, union)


def covered(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return the intersection [..., N, M] of first [..., N, 4] with second [..., M, 4] over the area of first.

    COCO matches with crowds by this measure: a crowd's box is larger than its members, so their IoU is low.
    """
    return tf.math.divide_no_nan(intersections(first, second), areas(first)[..., :, None])


def apply_deltas(boxes: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Return boxes [..., 4] refined by deltas [..., 4], (dy, dx, log dh, log dw), in the unit of the boxes.

    Shifts are relative to the size of the box (Girshick et al. 2014, R-CNN, appendix C).
    """
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + 0.5 * size + deltas[..., :2] * size
    size = size * tf.exp(tf.minimum(deltas[..., 2:], LARGEST_GROWTH))
    top_left = centre - 0.5 * size
    return tf.concat([top_left, top_left + size], axis=-1)


def deltas_between(boxes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the deltas [..., 4], (dy, dx, log dh, log dw), that refine boxes [..., 4] to targets [..., 4].

    The inverse of `apply_deltas`; boxes and targets must not be empty.
    """
    size, target_size = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
    centre, target_centre = boxes[..., :2] + 0.5 * size, targets[..., :2] + 0.5 * target_size
    return tf.concat([(target_centre - centre) / size, tf.math.log(target_size / size)], axis=-1)


def clip(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Return boxes [..., 4] clipped to window, a box [4] or boxes that broadcast, in the same unit."""
    low = tf.concat([window[..., :2], window[..., :2]], axis=-1)
    high = tf.concat([window[..., 2:], window[..., 2:]], axis=-1)
    return tf.clip_by_value(boxes, low, high)


def to_fractions(boxes: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Return boxes [..., 4] in pixels as float32 fractions of an image of shape (height, width, …).

    y2 and x2 are exclusive in pixels: (0, 0, height, width) becomes (0, 0, 1, 1). The scale is side − 1, as that of
    tf.image.crop_and_resize, which measures between the centres of the first and the last pixel.
    """
    height, width = tf.unstack(tf.cast(shape[:2], tf.float32))
    scale = tf.stack([height, width, height, width]) - 1.0
    return (tf.cast(boxes, tf.float32) - tf.constant(FRACTION_SHIFT)) / scale
