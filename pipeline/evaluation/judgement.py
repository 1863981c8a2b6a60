"""Everything that is measured of a model on a split: average precision, thresholds, confusion, in one record.

How each is measured stands in `coco`, `thresholds` and `confusion`; how it looks, in `pipeline.evaluation.report`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import coco, scores
from pipeline.evaluation.coco import Figures
from pipeline.evaluation.detections import Findings, JudgedImage
from pipeline.evaluation.scores import Matches, Threshold


@dataclass(frozen=True)
class Judgement:
    """What a model did on the images of a split."""

    images: tuple[JudgedImage, ...]
    matches: tuple[Matches, ...]
    categories: tuple[str, ...]
    segm: Figures
    bbox: Figures
    thresholds: dict[str, Threshold]
    confusion: NDArray[np.int64]
    """[C + 1, C + 1] int64: rows labelled, columns detected, background last."""
    seconds_per_image: float

    @property
    def instances(self) -> int:
        """Labelled instances that count (neither crowd nor ignored)."""
        return sum(each.instances for each in self.segm.per_class.values())

    def shown(self, image: JudgedImage) -> list[int]:
        """Return which of the image's detections reach the threshold of their class."""
        least = {name: threshold.least for name, threshold in self.thresholds.items()}
        return [k for k, detection in enumerate(image.detections) if detection.score >= least[detection.category]]


@dataclass(frozen=True)
class Quality:
    """How well one image was understood, with detections from their thresholds on."""

    found: int
    missed: int
    false: int
    score: float
    """Panoptic quality (Kirillov et al., 2019): the IoU of all that was found, over found + half of the errors."""


def judge(findings: Findings, categories: tuple[str, ...], max_detections: int) -> Judgement:
    """Measure everything; `categories` are those of the model, then any other that is labelled."""
    matches = tuple(scores.match(image) for image in findings.images)
    measured = scores.measure(findings.images, matches, categories)
    return Judgement(
        images=findings.images,
        matches=matches,
        categories=categories,
        segm=coco.average_precision(findings.images, categories, "segm", max_detections),
        bbox=coco.average_precision(findings.images, categories, "bbox", max_detections),
        thresholds=measured,
        confusion=scores.matrix(findings.images, matches, categories, measured),
        seconds_per_image=findings.seconds_per_image,
    )


def quality(judgement: Judgement, position: int) -> Quality:
    """Return how well the image at `position` was understood."""
    image, matched = judgement.images[position], judgement.matches[position]
    shown = judgement.shown(image)
    hits = [(k, int(matched.truth_of[k])) for k in shown if matched.truth_of[k] >= 0]
    false = sum(int(matched.truth_of[k]) == scores.FALSE for k in shown)
    missed = sum(not truth.ignored for truth in image.truth) - len(hits)
    errors = len(hits) + 0.5 * (missed + false)
    score = sum(float(matched.overlaps[pair]) for pair in hits) / errors if errors else 1.0
    return Quality(len(hits), missed, false, score)
