"""Reliability of scores: of detections with a score of 0.8, are 8 in 10 right?

The expected calibration error is that of Guo et al. (2017, "On Calibration of Modern Neural Networks", equation 3); a
detection is right where it finds an instance of its class at mask IoU 0.5, as in Küppers et al. (2020).
"""

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


def measure(images: Sequence[JudgedImage], category: str | None = None) -> Calibration:
    """Return the calibration of a class, by default that of all detections together."""
    counted = [
        (detection.score, truth >= 0)
        for image in images
        for detection, truth in zip(image.detections, image.truth_of, strict=True)
        if truth != IGNORED and category in (None, detection.category)
    ]
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
