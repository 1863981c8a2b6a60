"""Boxes as TensorFlow tensors, (y1, x1, y2, x2): overlap, refinement by deltas, clipping, pixels to fractions."""

import tensorflow as tf

from mrcnn.shapes.boxes import _FRACTION_SHIFT

LARGEST_GROWTH = 10.0
"""Logarithm of the most that a box is enlarged by: infinite sides would have no place."""


def areas(boxes: tf.Tensor) -> tf.Tensor:
    """Areas [...] of boxes [..., 4], in the square of their unit; inverted boxes have area 0."""
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    return tf.maximum(y2 - y1, 0.0) * tf.maximum(x2 - x1, 0.0)


def intersections(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Areas [..., N, M] shared by each of first [..., N, 4] and each of second [..., M, 4]."""
    a, b = first[..., :, None, :], second[..., None, :, :]
    sides = tf.minimum(a[..., 2:], b[..., 2:]) - tf.maximum(a[..., :2], b[..., :2])
    sides = tf.maximum(sides, 0.0)
    return sides[..., 0] * sides[..., 1]


def overlaps(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Intersection over union [..., N, M] of first [..., N, 4] with second [..., M, 4]; 0 for two empty boxes."""
    shared = intersections(first, second)
    union = areas(first)[..., :, None] + areas(second)[..., None, :] - shared
    return tf.math.divide_no_nan(shared, union)


def covered(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Share [..., N, M] of the area of first [..., N, 4] that lies in second [..., M, 4].

    This is how COCO matches against crowds: a crowd's box is larger than any member, so union says nothing.
    """
    return tf.math.divide_no_nan(intersections(first, second), areas(first)[..., :, None])


def apply_deltas(boxes: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Boxes [..., 4] moved and scaled by deltas [..., 4] of (dy, dx, log dh, log dw).

    Shifts are relative to the box's size (R-CNN, appendix C). The unit of the boxes is kept.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + 0.5 * size + deltas[..., :2] * size
    size = size * tf.exp(tf.minimum(deltas[..., 2:], LARGEST_GROWTH))
    top_left = centre - 0.5 * size
    return tf.concat([top_left, top_left + size], axis=-1)


def deltas_between(boxes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Deltas [..., 4] of (dy, dx, log dh, log dw) that turn boxes [..., 4] into targets [..., 4].

    The inverse of `apply_deltas`; boxes and targets must not be empty.
    """
    size, wanted = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
    centre, goal = boxes[..., :2] + 0.5 * size, targets[..., :2] + 0.5 * wanted
    return tf.concat([(goal - centre) / size, tf.math.log(wanted / size)], axis=-1)


def clip(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Boxes [..., 4] limited to window, a box [4] or boxes that broadcast, in the same unit."""
    low = tf.concat([window[..., :2], window[..., :2]], axis=-1)
    high = tf.concat([window[..., 2:], window[..., 2:]], axis=-1)
    return tf.clip_by_value(boxes, low, high)


def to_fractions(boxes: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Boxes [..., 4] in pixels as float32 fractions of an image of shape (height, width, …).

    A pixel box has its end outside: (0, 0, height, width) becomes (0, 0, 1, 1). The scale is side − 1, as
    crop_and_resize counts from the first pixel's centre to the last one's.
    """
    height, width = tf.unstack(tf.cast(shape[:2], tf.float32))
    scale = tf.stack([height, width, height, width]) - 1.0
    return (tf.cast(boxes, tf.float32) - tf.constant(_FRACTION_SHIFT)) / scale
