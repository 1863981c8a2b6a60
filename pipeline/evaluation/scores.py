"""What is measured at mask IoU 0.5: thresholds of scores, what they reach, confusion of classes."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.detections import IGNORED, IOU, JudgedImage
from pipeline.instances.image_paths import video_in_name

FALLBACK = 0.5
"""Score for a class of which nothing could be measured."""
FEWEST = 10
"""Images of which a half must consist; a threshold that fewer decide jumps with each of them."""


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


@dataclass(frozen=True)
class Reached:
    """What a class reaches from its threshold on; None where nothing was detected, or nothing is labelled."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Fit:
    """Images, and the thresholds that they are judged at; those were chosen on other images where `apart`."""

    images: Sequence[JudgedImage]
    thresholds: Mapping[str, "Threshold"]
    apart: bool


def cross_fitted(images: Sequence[JudgedImage], categories: Sequence[str]) -> list[Fit]:
    """Return the two halves of the images, each with the thresholds that are the best on the other half.

    A digest of its name, or of its video's, decides an image's half. Where a half would be smaller than `FEWEST`, all
    images are judged at the thresholds that are the best on themselves.
    """
    halves: tuple[list[JudgedImage], list[JudgedImage]] = ([], [])
    for image in images:
        name = image.record.image
        digest = hashlib.sha256((video_in_name(name) or name).encode("utf-8", "surrogatepass")).digest()
        halves[digest[0] % 2].append(image)
    if min(map(len, halves)) < FEWEST:
        return [Fit(images, best_thresholds(images, categories), apart=False)]
    one, other = halves
    return [Fit(a, best_thresholds(b, categories), apart=True) for a, b in ((one, other), (other, one))]


def reached(fits: Sequence[Fit], categories: Sequence[str]) -> dict[str, Reached]:
    """Return what each class reaches over all images."""
    labelled = Counter(
        each.category for fit in fits for image in fit.images for each in image.truth if not each.neutral
    )
    right: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for fit in fits:
        for image in fit.images:
            kept = [k for k in shown(image, fit.thresholds) if image.truth_of[k] != IGNORED]
            accepted.update(image.detections[k].category for k in kept)
            right.update(image.detections[k].category for k in kept if image.truth_of[k] >= 0)
    return {
        name: Reached(
            _share(right[name], accepted[name]),
            _share(right[name], labelled[name]),
            _share(2 * right[name], accepted[name] + labelled[name]) if labelled[name] else None,
        )
        for name in categories
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def best_thresholds(images: Sequence[JudgedImage], categories: Sequence[str]) -> dict[str, Threshold]:
    """Return for each class the threshold with the highest F1; of equals, the highest one."""
    labelled = Counter(truth.category for image in images for truth in image.truth if not truth.neutral)
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in categories}
    for image in images:
        for detection, truth in zip(image.detections, image.truth_of, strict=True):
            if truth != IGNORED:
                found[detection.category].append((detection.score, truth >= 0))
    return {name: _best(found[name], labelled[name]) for name in categories}


def shown(image: JudgedImage, thresholds: Mapping[str, Threshold]) -> list[int]:
    """Return which of the image's detections reach the threshold of their class."""
    return [k for k, each in enumerate(image.detections) if each.score >= thresholds[each.category].least]


def _best(found: list[tuple[float, bool]], labelled: int) -> Threshold:
    """Return the threshold of one class from its detections (score, whether it is right) and labelled instances."""
    if not labelled or not any(hit for _, hit in found):
        return Threshold(None, None, None, None)
    scores, right = np.array(sorted(found, key=lambda pair: -pair[0])).T
    hits, count = np.cumsum(right), np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (count + labelled)
    whole_ties = np.append(scores[:-1] != scores[1:], True)
    cut = int(np.where(whole_ties, f1, -1).argmax())
    return Threshold(
        score=float(scores[cut]),
        f1=round(float(f1[cut]), 6),
        precision=round(float(hits[cut] / count[cut]), 6),
        recall=round(float(hits[cut] / labelled), 6),
    )


def confusion_matrix(
    images: Sequence[JudgedImage], categories: Sequence[str], thresholds: Mapping[str, Threshold]
) -> NDArray[np.int64]:
    """Return counts, [C + 1, C + 1] int64: rows labelled, columns detected, background last in both.

    The last column counts missed instances, the last row detections of nothing. Instances are paired with
    detections of their own class first, then with others, by falling IoU. What is detected inside ignored regions
    is not counted.
    """
    ids = {name: number for number, name in enumerate(categories)}
    counts = np.zeros((len(categories) + 1, len(categories) + 1), np.int64)
    for image in images:
        kept = shown(image, thresholds)
        labelled = np.array([ids[truth.category] for truth in image.truth], np.int64)
        detected = np.array([ids[image.detections[k].category] for k in kept], np.int64)
        ignored = np.array([truth.neutral for truth in image.truth], bool)
        _count(counts, image.overlaps[kept], labelled, detected, ignored)
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
