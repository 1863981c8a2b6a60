"""Boxes as (y1, x1, y2, x2): overlap, refinement by deltas, clipping, pixels to fractions and back.

Pure functions on TensorFlow tensors, and their NumPy counterparts that old code calls. No layers here.
"""

import numpy as np
import tensorflow as tf

from mrcnn.metrics import compute_overlaps

LARGEST_GROWTH = 10.0
"""Logarithm of the most that a box is enlarged by: infinite sides would have no place."""

_FRACTION_SHIFT = (0.0, 0.0, 1.0, 1.0)


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


def norm_boxes(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """NumPy counterpart of `to_fractions`: boxes [N, 4] in pixels to float32 fractions of (height, width)."""
    height, width = shape
    scale = np.array([height - 1, width - 1, height - 1, width - 1])
    return ((boxes - np.array(_FRACTION_SHIFT)) / scale).astype(np.float32)


def denorm_boxes(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Boxes [N, 4] in fractions of (height, width) as int32 pixels, the end outside; inverse of `norm_boxes`."""
    height, width = shape
    scale = np.array([height - 1, width - 1, height - 1, width - 1])
    return np.around(np.multiply(boxes, scale) + np.array(_FRACTION_SHIFT)).astype(np.int32)


def compute_iou(box: np.ndarray, boxes: np.ndarray, box_area: float, boxes_area: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of one box [4] with boxes [N, 4] whose areas are given; 0 where both are empty."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    union = box_area + boxes_area - shared
    return np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0)


def box_refinement(box: np.ndarray, gt_box: np.ndarray) -> np.ndarray:
    """NumPy counterpart of `deltas_between`: deltas [N, 4] from box [N, 4] to gt_box [N, 4], float32."""
    box, gt_box = np.asarray(box, np.float32), np.asarray(gt_box, np.float32)
    size, wanted = box[:, 2:] - box[:, :2], gt_box[:, 2:] - gt_box[:, :2]
    shift = (gt_box[:, :2] + 0.5 * wanted - box[:, :2] - 0.5 * size) / size
    return np.concatenate([shift, np.log(wanted / size)], axis=1)


def apply_box_deltas(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """NumPy counterpart of `apply_deltas`: boxes [N, 4] changed by deltas [N, 4], float32."""
    boxes, deltas = np.asarray(boxes, np.float32), np.asarray(deltas, np.float32)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + (0.5 + deltas[:, :2]) * size
    size = size * np.exp(deltas[:, 2:])
    return np.concatenate([centre - 0.5 * size, centre + 0.5 * size], axis=1)


def non_max_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Indices int32 of the boxes [N, 4] kept: best score first, none overlapping a better one above threshold."""
    overlap, order, kept = compute_overlaps(boxes, boxes), np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(order[0])
        order = order[1:][overlap[order[0], order[1:]] <= threshold]
    return np.array(kept, dtype=np.int32)
