"""Average precision and overlaps of single images, as in matterport's code; 0/0 is 0.

Published results use COCO's evaluation instead, which pools images and considers crowds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * number, 2) for number in range(10))


def compute_overlaps(boxes1: Array, boxes2: Array) -> Floats:
    """Return the intersection over union [N, M] of boxes1 [N, 4] with boxes2 [M, 4], (y1, x1, y2, x2)."""
    a, b = np.asarray(boxes1, np.float64)[:, None], np.asarray(boxes2, np.float64)[None]
    shared = np.prod(np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0), axis=-1)
    total = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1) - shared
    return _ratio(shared, total)


def compute_overlaps_masks(masks1: Array, masks2: Array) -> Floats:
    """Return the intersection over union [N, M] of masks1 [H, W, N] with masks2 [H, W, M]; values above 0.5 are set."""
    if masks1.shape[-1] == 0 or masks2.shape[-1] == 0:
        return np.zeros((masks1.shape[-1], masks2.shape[-1]))
    shared, areas1, areas2 = _areas(masks1, masks2)
    return _ratio(shared, areas1[:, None] + areas2 - shared)


def _areas(masks1: Array, masks2: Array) -> tuple[Floats, Floats, Floats]:
    """Return the intersections [N, M] of masks1 [H, W, N] and masks2 [H, W, M], and areas [N], [M], in pixels."""
    flat1, flat2 = ((masks > 0.5).reshape(-1, masks.shape[-1]).astype(np.float32) for masks in (masks1, masks2))
    # float32 counts up to 2^24 pixels exactly, and its matrix product is fast
    return (
        (flat1.T @ flat2).astype(np.float64),
        flat1.sum(axis=0, dtype=np.float64),
        flat2.sum(axis=0, dtype=np.float64),
    )


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)


def trim_zeros(x: Array) -> Array:
    """Return the rows of x [N, M] that are not all zeros, i.e. without padding."""
    return x[np.any(x != 0, axis=1)]


def compute_matches(
    gt_boxes: Array, gt_class_ids: Array, gt_masks: Array, pred_boxes: Array, pred_class_ids: Array, pred_scores: Array,
    pred_masks: Array, iou_threshold: float = 0.5, score_threshold: float = 0.0,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Match detections with instances of the same class by the IoU of their masks, best score first.

    Args:
        gt_boxes: [G, 4]; rows of zeros at the end are padding.
        gt_class_ids: [G]; negative: a crowd, which is never matched, and detections inside of which are ignored.
        gt_masks: [H, W, G].
        pred_boxes: [P, 4], with padding as above.
        pred_class_ids: [P].
        pred_scores: [P].
        pred_masks: [H, W, P].
        iou_threshold: the lowest IoU of a match.
        score_threshold: another lower limit of the IoU, as in matterport's code.

    Returns:
        gt_match [G'], the detection of each instance that is not a crowd, or -1; pred_match [P'], the instance of each
        detection, best score first, or -1 (without ignored detections); overlaps [P', G'].
    """
    count, pred_count = len(trim_zeros(np.asarray(gt_boxes))), len(trim_zeros(np.asarray(pred_boxes)))
    class_ids, masks = np.asarray(gt_class_ids)[:count], gt_masks[..., :count]
    order = np.argsort(-np.asarray(pred_scores)[:pred_count], kind="stable")
    classes, overlaps = np.asarray(pred_class_ids)[order], compute_overlaps_masks(pred_masks[..., order], masks)
    real = np.flatnonzero(class_ids > 0)
    gt_match, pred_match = -np.ones(len(real)), -np.ones(len(order))
    for number in range(len(order)):
        unmatched = np.flatnonzero((gt_match < 0) & (class_ids[real] == classes[number]))
        candidates = overlaps[number, real[unmatched]]
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= max(iou_threshold, score_threshold):
            gt_match[unmatched[best]], pred_match[number] = number, unmatched[best]
    kept = (pred_match >= 0) | ~_in_crowd(pred_masks[..., order], classes, masks, class_ids, iou_threshold)
    renumbered = np.cumsum(kept) - 1
    matched = gt_match >= 0
    gt_match[matched] = renumbered[gt_match[matched].astype(int)]
    return gt_match, pred_match[kept], overlaps[kept][:, real]


def _in_crowd(masks: Array, classes: Array, gt_masks: Array, gt_classes: Array, threshold: float) -> NDArray[np.bool_]:
    """Return, for each detection [P], whether at least `threshold` of its area is in a crowd of its class."""
    crowds = np.flatnonzero(gt_classes < 0)
    if not len(crowds) or not len(classes):
        return np.zeros(len(classes), bool)
    shared, areas, _ = _areas(masks, gt_masks[..., crowds])
    share = _ratio(shared, np.broadcast_to(areas[:, None], shared.shape))
    return np.asarray(((share >= threshold) & (-gt_classes[crowds] == classes[:, None])).any(axis=1))


def compute_ap(
    gt_boxes: Array, gt_class_ids: Array, gt_masks: Array, pred_boxes: Array, pred_class_ids: Array, pred_scores: Array,
    pred_masks: Array, iou_threshold: float = 0.5,
) -> tuple[float, Floats, Floats, Floats]:  # fmt: skip
    """Return the average precision of one image's detections at one IoU threshold, all classes together.

    Returns:
        mAP: area under the monotone precision-recall curve, as in PASCAL VOC 2010; 0 without instances.
        precisions, recalls: [P + 2] points of the curve.
        overlaps: [P, G] of masks, best score first.
    """
    gt_match, pred_match, overlaps = compute_matches(
        gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks, iou_threshold
    )
    hits = np.cumsum(pred_match > -1)
    precisions = np.concatenate([[0], hits / (np.arange(len(pred_match)) + 1), [0]])
    recalls = np.concatenate([[0], _ratio(hits.astype(float), np.full(len(hits), float(len(gt_match)))), [1]])
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    corners = np.flatnonzero(recalls[:-1] != recalls[1:]) + 1
    average = float(np.sum((recalls[corners] - recalls[corners - 1]) * precisions[corners]))
    return average, precisions, recalls, overlaps


def compute_ap_range(
    gt_box: Array, gt_class_id: Array, gt_mask: Array, pred_box: Array, pred_class_id: Array, pred_score: Array,
    pred_mask: Array, iou_thresholds: Sequence[float] | None = None, verbose: int = 1,
) -> float:  # fmt: skip
    """Return the mean of `compute_ap` over IoU thresholds, default 0.5, 0.55 … 0.95; print each with `verbose`."""
    thresholds = iou_thresholds if iou_thresholds is not None and len(iou_thresholds) else COCO_THRESHOLDS
    averages = []
    for threshold in thresholds:
        average, *_ = compute_ap(
            gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask, threshold
        )
        averages.append(average)
        if verbose:
            print(f"AP @{threshold:.2f}:\t {average:.3f}")
    if verbose:
        print(f"AP @{thresholds[0]:.2f}-{thresholds[-1]:.2f}:\t {np.mean(averages):.3f}")
    return float(np.mean(averages))


def compute_recall(pred_boxes: Array, gt_boxes: Array, iou: float) -> tuple[float, NDArray[np.int64]]:
    """Return the recall of gt_boxes [G, 4] by pred_boxes [P, 4] at IoU `iou`, and the indices of matching pred_boxes.

    Without gt_boxes, the recall is 0.
    """
    overlaps = compute_overlaps(pred_boxes, gt_boxes)
    if not overlaps.size:
        return 0.0, np.zeros(0, np.int64)
    positive = np.flatnonzero(overlaps.max(axis=1) >= iou)
    return len(set(overlaps.argmax(axis=1)[positive].tolist())) / len(gt_boxes), positive
