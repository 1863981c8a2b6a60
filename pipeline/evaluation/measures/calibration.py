"""Reliability of scores: of detections with a score of 0.8, are 8 in 10 right?

The expected calibration error is that of Guo et al. (2017, "On Calibration of Modern Neural Networks", equation 3); a
detection is right where it finds an instance of its class at mask IoU 0.5, as in Küppers et al. (2020).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.detections import IGNORED, JudgedImage

BINS = 10
"""Of equal width, from 0 to 1."""


@dataclass(frozen=True)
class Bin:
    """The detections whose scores lie in a tenth; scores of exactly 1 are in the last one."""

    low: float
    high: float
    detections: int
    score: float | None
    """Mean; None where there are no detections."""
    right: float | None
    """Share of the detections that are right."""


@dataclass(frozen=True)
class Calibration:
    """How far scores are from the share of detections that are right."""

    ECE: float | None
    """Expected calibration error: the mean of |score - right| over the bins, weighted by their detections."""
    detections: int
    bins: list[Bin]


def measure(images: Sequence[JudgedImage]) -> Calibration:
    """Return the calibration of all detections together."""
    return _of_pairs([pair for pairs in _pairs(images).values() for pair in pairs])


def by_class(images: Sequence[JudgedImage], categories: Sequence[str]) -> dict[str, Calibration]:
    """Return the calibration of each class."""
    pairs = _pairs(images)
    return {name: _of_pairs(pairs[name]) for name in categories}


def _pairs(images: Sequence[JudgedImage]) -> dict[str, list[tuple[float, bool]]]:
    """Return score and whether it is right of each detection that counts, by class."""
    pairs = defaultdict(list)
    for image in images:
        for detection, truth in zip(image.detections, image.truth_of, strict=True):
            if truth != IGNORED:
                pairs[detection.category].append((detection.score, truth >= 0))
    return pairs


def _of_pairs(counted: Sequence[tuple[float, bool]]) -> Calibration:
    pairs = np.array(counted, np.float64).reshape(-1, 2)
    place = np.minimum((pairs[:, 0] * BINS).astype(np.int64), BINS - 1)
    bins = [_bin(k, pairs[place == k]) for k in range(BINS)]
    gaps = [
        each.detections * abs(each.score - each.right)
        for each in bins
        if each.score is not None and each.right is not None
    ]
    return Calibration(round(sum(gaps) / len(pairs), 6) if len(pairs) else None, len(pairs), bins)


def _bin(number: int, pairs: np.ndarray) -> Bin:
    score, right = pairs.mean(axis=0).round(6).tolist() if len(pairs) else (None, None)
    return Bin(number / BINS, (number + 1) / BINS, len(pairs), score, right)
