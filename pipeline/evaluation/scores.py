"""What is measured at mask IoU 0.5: matches of detections and instances, thresholds of scores, confusion of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.detections import JudgedImage

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


FALLBACK = 0.5
"""Score for a class of which nothing could be measured."""


@dataclass(frozen=True)
class Threshold:
    """A class's score threshold, and what it brings; None where no instance of the class was found."""

    score: float | None
    f1: float | None
    precision: float | None
    recall: float | None

    @property
    def least(self) -> float:
        """The least score of a detection that is shown."""
        return FALLBACK if self.score is None else self.score


def measure(
    images: Sequence[JudgedImage], matches: Sequence[Matches], categories: Sequence[str]
) -> dict[str, Threshold]:
    """Return the threshold of each class."""
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in categories}
    labelled = dict.fromkeys(categories, 0)
    for image, matched in zip(images, matches, strict=True):
        for truth in image.truth:
            labelled[truth.category] += not truth.ignored
        for detection, truth_index in zip(image.detections, matched.truth_of.tolist(), strict=True):
            if truth_index != IGNORED:
                found[detection.category].append((detection.score, truth_index >= 0))
    return {name: _best(found[name], labelled[name]) for name in categories}


def _best(found: list[tuple[float, bool]], labelled: int) -> Threshold:
    """Return the cut with the highest F1; of equals, the one with the highest score."""
    if not labelled or not any(hit for _, hit in found):
        return Threshold(None, None, None, None)
    scores: NDArray[np.float64] = np.array([score for score, _ in found])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    hits = np.cumsum(np.array([hit for _, hit in found])[order])
    shown = np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (shown + labelled)
    whole_ties = np.append(scores[:-1] != scores[1:], True)
    cut = int(np.where(whole_ties, f1, -1).argmax())
    return Threshold(
        score=float(scores[cut]),
        f1=round(float(f1[cut]), 6),
        precision=round(float(hits[cut] / shown[cut]), 6),
        recall=round(float(hits[cut] / labelled), 6),
    )


def matrix(
    images: Sequence[JudgedImage],
    matches: Sequence[Matches],
    categories: Sequence[str],
    thresholds: Mapping[str, Threshold],
) -> NDArray[np.int64]:
    """Return counts, [C + 1, C + 1] int64: rows labelled, columns detected, background last in both.

    The last column counts missed instances, the last row detections of nothing. Instances are paired with
    detections of their own class first, then with others, by falling IoU. What is detected inside ignored regions
    is not counted.
    """
    ids = {name: number for number, name in enumerate(categories)}
    counts = np.zeros((len(categories) + 1, len(categories) + 1), np.int64)
    for image, matched in zip(images, matches, strict=True):
        shown = [k for k, d in enumerate(image.detections) if d.score >= thresholds[d.category].least]
        labelled = np.array([ids[truth.category] for truth in image.truth], np.int64)
        detected = np.array([ids[image.detections[k].category] for k in shown], np.int64)
        ignored = np.array([truth.ignored for truth in image.truth], bool)
        _count(counts, matched.overlaps[shown], labelled, detected, ignored)
    return counts


def _count(
    counts: NDArray[np.int64],
    overlaps: NDArray[np.float64],
    labelled: NDArray[np.int64],
    detected: NDArray[np.int64],
    ignored: NDArray[np.bool_],
) -> None:
    """Add one image: overlaps [D, T], classes of the T instances and the D detections, which instances are ignored."""
    background = len(counts) - 1
    pairs = _pairs(np.where(ignored, 0.0, overlaps), detected[:, None] == labelled[None, :])
    for detection, truth in pairs.items():
        counts[labelled[truth], detected[detection]] += 1
    for truth in set(np.flatnonzero(~ignored).tolist()) - set(pairs.values()):
        counts[labelled[truth], background] += 1
    inside_ignored = (overlaps[:, ignored] >= IOU).any(axis=1)
    for detection in set(np.flatnonzero(~inside_ignored).tolist()) - set(pairs):
        counts[background, detected[detection]] += 1


def _pairs(overlaps: NDArray[np.float64], same_class: NDArray[np.bool_]) -> dict[int, int]:
    """Return detection → instance, each used once: pairs of one class before others, larger IoU before smaller."""
    detections, truths = np.nonzero(overlaps >= IOU)
    order = np.lexsort((-overlaps[detections, truths], ~same_class[detections, truths]))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for detection, truth in zip(detections[order].tolist(), truths[order].tolist(), strict=True):
        if detection not in pairs and truth not in taken:
            pairs[detection] = truth
            taken.add(truth)
    return pairs
