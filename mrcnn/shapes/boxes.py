"""Boxes as NumPy arrays, (y1, x1, y2, x2): IoU, refinement by deltas, pixels to fractions and back."""

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes.metrics import Array, Floats, compute_overlaps

FRACTION_SHIFT = (0.0, 0.0, 1.0, 1.0)
"""Pixels subtracted from (y1, x1, y2, x2), since y2 and x2 are exclusive in pixels and inclusive in fractions."""


def norm_boxes(boxes: Array, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return boxes [N, 4] in pixels as float32 fractions of (height, width), as `ops.boxes.to_fractions`."""
    height, width = shape
    scale = np.array([height - 1, width - 1, height - 1, width - 1])
    return ((boxes - np.array(FRACTION_SHIFT)) / scale).astype(np.float32)


def denorm_boxes(boxes: Array, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return boxes [N, 4] in fractions of (height, width) as int32 pixels, the inverse of `norm_boxes`."""
    height, width = shape
    scale = np.array([height - 1, width - 1, height - 1, width - 1])
    return np.around(np.multiply(boxes, scale) + np.array(FRACTION_SHIFT)).astype(np.int32)


def compute_iou(box: Array, boxes: Array, box_area: float, boxes_area: Array) -> Floats:
    """Return the intersection over union [N] of a box [4] with boxes [N, 4] of given areas; 0 for empty boxes."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    union = box_area + boxes_area - shared
    return np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0)


def box_refinement(box: Array, gt_box: Array) -> NDArray[np.float32]:
    """Return deltas [N, 4] float32 from box [N, 4] to gt_box [N, 4], as `ops.boxes.deltas_between`."""
    box, gt_box = np.asarray(box, np.float32), np.asarray(gt_box, np.float32)
    size, gt_size = box[:, 2:] - box[:, :2], gt_box[:, 2:] - gt_box[:, :2]
    shift = (gt_box[:, :2] + 0.5 * gt_size - box[:, :2] - 0.5 * size) / size
    return np.concatenate([shift, np.log(gt_size / size)], axis=1)


def apply_box_deltas(boxes: Array, deltas: Array) -> NDArray[np.float32]:
    """Return boxes [N, 4] refined by deltas [N, 4], float32, as `ops.boxes.apply_deltas`."""
    boxes, deltas = np.asarray(boxes, np.float32), np.asarray(deltas, np.float32)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + (0.5 + deltas[:, :2]) * size
    size = size * np.exp(deltas[:, 2:])
    return np.concatenate([centre - 0.5 * size, centre + 0.5 * size], axis=1)


def non_max_suppression(boxes: Array, scores: Array, threshold: float) -> NDArray[np.int32]:
    """Return the indices int32 of boxes [N, 4] that non-maximum suppression keeps, best score first."""
    overlap, order, kept = compute_overlaps(boxes, boxes), np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(order[0])
        order = order[1:][overlap[order[0], order[1:]] <= threshold]
    return np.array(kept, dtype=np.int32)
