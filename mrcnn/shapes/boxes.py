"""Boxes as NumPy arrays, (y1, x1, y2, x2): overlap, refinement by deltas, pixels to fractions and back."""

import numpy as np

from mrcnn.shapes.metrics import compute_overlaps

_FRACTION_SHIFT = (0.0, 0.0, 1.0, 1.0)


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
