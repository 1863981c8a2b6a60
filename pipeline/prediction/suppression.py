"""Non-maximum suppression over masks: of detections of one thing, the one that counts most is kept."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from faster_coco_eval.core import mask as coco_mask  # noqa: TID253 - nothing imports this module before a model is used
from numpy.typing import NDArray

from pipeline.evaluation.detections import Detection

OVERLAP = 0.5
"""From which on two detections are one: detectron2's and sahi's default."""

Measure = Literal["union", "smaller"]
"""What the pixels that two masks share are divided by: IoU, or sahi's IOS, by which a part belongs to its whole."""


def suppressed(
    detections: Sequence[Detection],
    overlap: float = OVERLAP,
    agnostic: bool = False,
    measure: Measure = "union",
    last: Sequence[bool] = (),
) -> tuple[Detection, ...]:
    """Return the detections that are kept, highest score first.

    By falling score, each removes those after it whose masks overlap its own by `overlap` or more: of its class, or of
    all with `agnostic`. Those that `last` names come after all others, whatever their score.
    """
    found = list(detections)
    late = np.array(last, bool) if len(last) else np.zeros(len(found), bool)
    scores = np.array([each.score for each in found])
    order = np.lexsort((-scores, late))
    names = np.array([each.category for each in found])
    near = _boxes_overlap(found) & (agnostic or names[:, None] == names[None])
    alive = np.ones(len(found), bool)
    for rank, number in enumerate(order):
        later = order[rank + 1 :]
        candidates = later[alive[later] & near[number, later]]
        if alive[number] and len(candidates):
            shares = _overlaps(found[number], [found[each] for each in candidates], measure)
            alive[candidates[shares >= overlap]] = False
    kept = [each for each, stays in zip(found, alive, strict=True) if stays]
    return tuple(sorted(kept, key=lambda detection: -detection.score))


def _boxes_overlap(detections: Sequence[Detection]) -> NDArray[np.bool_]:
    """Return which boxes of masks share pixels, [N, N] bool."""
    boxes = [each.rle.box for each in detections]
    low = np.array([(box.x, box.y) for box in boxes]).reshape(-1, 2)
    high = low + np.array([(box.width, box.height) for box in boxes]).reshape(-1, 2)
    return np.asarray(((low[:, None] < high[None]) & (low[None] < high[:, None])).all(axis=2))


def _overlaps(one: Detection, others: Sequence[Detection], measure: Measure) -> NDArray[np.float64]:
    """Return how much of each other's mask `one` shares, [N] float64 from 0 to 1."""
    masks = [each.rle.coco for each in others]
    union = np.asarray(coco_mask.iou(masks, [one.rle.coco], [0]), np.float64)[:, 0]
    if measure == "union":
        return union
    areas = np.array([each.rle.area for each in others], np.float64)
    shared = union * (areas + one.rle.area) / (1 + union)
    return np.asarray(shared / np.maximum(np.minimum(areas, one.rle.area), 1))
