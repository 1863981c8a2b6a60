"""The score from which a detection of a class is worth showing: the one with the best F1 at mask IoU 0.5.

Thresholds are measured on the judged images; they are no part of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.detections import JudgedImage
from pipeline.matching import IGNORED, Matches

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
