"""Everything that is measured of a model on a split, in one record."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation import coco, scores
from pipeline.evaluation.coco import Figures
from pipeline.evaluation.detections import FALSE, JudgedImage
from pipeline.evaluation.measures import bdd_score, calibration, slices, tide
from pipeline.evaluation.measures.bdd_score import BddScore
from pipeline.evaluation.measures.calibration import Calibration
from pipeline.evaluation.measures.matches import MatchTable
from pipeline.evaluation.measures.slices import Slice
from pipeline.evaluation.measures.tide import ErrorKind
from pipeline.evaluation.scores import Reached, Threshold


@dataclass(frozen=True)
class Judgement:
    """What a model did on the images of a split."""

    images: tuple[JudgedImage, ...]
    categories: tuple[str, ...]
    """Those of the model, then any other that is labelled."""
    segm: Figures
    bbox: Figures
    thresholds: dict[str, Threshold]
    """The best ones on all images."""
    thresholds_apart: bool
    """Whether `reached` and `confusion` are at thresholds that were chosen on other images."""
    reached: dict[str, Reached]
    confusion: NDArray[np.int64]
    """[C + 1, C + 1] int64: rows labelled, columns detected, background last."""
    slices: list[Slice]
    """The whole first."""
    errors: list[ErrorKind]
    calibration: Calibration
    """Of all detections."""
    class_calibration: dict[str, Calibration]
    bdd: BddScore | None
    """None where the images aren't BDD100K's."""
    seconds_per_image: float

    @property
    def instances(self) -> int:
        """Labelled instances that count (neither crowd nor ignored)."""
        return sum(each.instances for each in self.segm.per_class.values())


@dataclass(frozen=True)
class Quality:
    """How well one image was understood, with detections from their thresholds on."""

    found: int
    missed: int
    false: int
    score: float
    """Panoptic quality (Kirillov et al., 2019): the IoU of all that was found, over found + half of the errors."""


def judge(
    images: tuple[JudgedImage, ...], seconds_per_image: float, categories: tuple[str, ...], max_detections: int
) -> Judgement:
    """Measure everything; `categories` are those of the model, then any other that is labelled."""
    fits = scores.cross_fitted(images, categories)
    return Judgement(
        images,
        categories,
        segm=coco.average_precision(images, categories, "segm", max_detections),
        bbox=coco.average_precision(images, categories, "bbox", max_detections),
        thresholds=scores.best_thresholds(images, categories),
        thresholds_apart=fits[0].apart,
        reached=scores.reached(fits, categories),
        confusion=np.sum([scores.confusion_matrix(fit.images, categories, fit.thresholds) for fit in fits], axis=0),
        slices=slices.measure(images, MatchTable.of(images, categories)),
        errors=tide.measure(images, categories),
        calibration=calibration.measure(images),
        class_calibration=calibration.by_class(images, categories),
        bdd=bdd_score.measure(images, categories),
        seconds_per_image=seconds_per_image,
    )


def quality(judgement: Judgement, image: JudgedImage) -> Quality:
    """Return how well one of the images was understood."""
    truth_of = {k: image.truth_of[k] for k in scores.shown(image, judgement.thresholds)}
    hits = [(k, truth) for k, truth in truth_of.items() if truth >= 0]
    false = sum(truth == FALSE for truth in truth_of.values())
    missed = sum(not truth.neutral for truth in image.truth) - len(hits)
    errors = len(hits) + 0.5 * (missed + false)
    score = sum(float(image.overlaps[pair]) for pair in hits) / errors if errors else 1.0
    return Quality(len(hits), missed, false, score)
