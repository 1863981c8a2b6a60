"""Which detection found which labelled instance of an image, at mask IoU 0.5.

Average precision over many thresholds is COCO's business (`pipeline.coco`); nothing is summed up here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.detections import JudgedImage

IOU = 0.5
FALSE, IGNORED = -1, -2


@dataclass(frozen=True)
class Matches:
    """How the D detections of an image meet its T labelled instances."""

    overlaps: NDArray[np.float64]
    """Mask IoU, [D, T] float64; against an ignored instance, the share of the detection that lies in it."""
    truth_of: NDArray[np.int64]
    """For each detection [D]: the instance of its class that it found, FALSE, or IGNORED."""


def match(image: JudgedImage) -> Matches:
    """Return COCO's greedy match: by falling score, each detection takes the best instance of its class still free."""
    overlaps = _overlaps(image)
    truth_of = np.full(len(image.detections), FALSE, np.int64)
    ignored = np.array([truth.ignored for truth in image.truth], bool)
    free = ~ignored
    for number, detection in enumerate(image.detections):
        same = np.array([truth.category == detection.category for truth in image.truth], bool)
        candidates = np.where(same & free & (overlaps[number] >= IOU), overlaps[number], 0.0)
        if candidates.any():
            truth_of[number] = int(candidates.argmax())
            free[truth_of[number]] = False
        elif (same & ignored & (overlaps[number] >= IOU)).any():
            truth_of[number] = IGNORED
    return Matches(overlaps, truth_of)


def _overlaps(image: JudgedImage) -> NDArray[np.float64]:
    from faster_coco_eval.core import mask

    if not image.detections or not image.truth:
        return np.zeros((len(image.detections), len(image.truth)))
    found = [detection.rle.coco for detection in image.detections]
    labelled = [truth.rle.coco for truth in image.truth]
    return np.asarray(mask.iou(found, labelled, [int(truth.ignored) for truth in image.truth]), np.float64)
