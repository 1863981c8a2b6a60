"""Intervals of the difference of two models, against simulated detections of which the true difference is known."""

import numpy as np
import pytest

from pipeline.evaluation.measures import resampling
from pipeline.evaluation.measures.matches import IOUS, ClassMatches, MatchTable
from tests.pipeline.evaluation.scenes import NAMES, scenes

INSTANCES = {"car": 4, "bike": 1.5}
"""A class's instances in an image, on average."""


def model(
    random: np.random.Generator, skill: float, images: int, drawn: dict[str, tuple[np.ndarray, np.ndarray]]
) -> MatchTable:
    """Return what a model finds; `drawn` has of each class the instances of each image, and how easy each one is."""
    classes = {}
    for name, (counts, ease) in drawn.items():
        false = np.repeat(np.arange(images), random.poisson(1, images))
        iou = np.clip(skill + 0.25 * ease + 0.15 * random.normal(size=len(ease)), 0, 1)
        scores = np.concatenate([iou + 0.2 * random.normal(size=len(ease)), random.random(len(false))])
        image = np.concatenate([np.repeat(np.arange(images), counts), false])
        order = np.argsort(-scores)
        right = (np.concatenate([iou, 0 * false])[order] >= IOUS[:, None])[:, None].repeat(4, axis=1)
        counted = np.ones_like(right)
        classes[name] = ClassMatches(image[order], scores[order], right, counted, np.tile(counts, (4, 1)))
    return MatchTable(images, classes)


def models(images: int, seed: int) -> tuple[MatchTable, MatchTable]:
    """Return a model and a better one on the same images, some of which are harder than others to both."""
    random = np.random.default_rng(seed)
    drawn = {}
    for name, average in INSTANCES.items():
        counts = random.poisson(average, images)
        ease = random.normal(size=counts.sum()) + np.repeat(random.normal(size=images) / 2, counts)
        drawn[name] = (counts, ease)
    return model(random, 0.6, images, drawn), model(random, 0.65, images, drawn)


def test_the_interval_holds_the_true_difference_95_times_in_100() -> None:
    true = resampling.differences(*models(20_000, 10**6), count=1)
    held = []
    for seed in range(400):
        found = resampling.differences(*models(50, seed), count=200)
        pairs = [(found.AP, true.AP), (found.AP50, true.AP50), (found.per_class["bike"], true.per_class["bike"])]
        held.append([each.interval.low <= all_.difference <= each.interval.high for each, all_ in pairs])
    shares = np.mean(held, axis=0)
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares


def test_a_model_differs_from_itself_by_nothing() -> None:
    table = MatchTable.of(scenes(12, 1), NAMES)
    found = resampling.differences(table, table, count=50)
    for each in (found.AP, found.AP50, *found.per_class.values()):
        assert (each.difference, each.interval) == (0, resampling.Interval(0, 0))


def test_each_resample_is_of_the_same_images_for_both() -> None:
    before, after = (MatchTable.of(scenes(30, seed), NAMES) for seed in (1, 2))
    weights = resampling.resamples(30, 100)
    assert (weights.sum(axis=1) == 30).all()
    one, other = (resampling.mean(table.average_precision(weights), (1, 2)) for table in (before, after))
    paired = resampling.differences(before, after, 100).AP.interval
    assert paired == resampling.interval(other - one)


@pytest.mark.parametrize(("images", "has"), [(9, False), (10, True)])
def test_few_images_have_no_interval(images: int, has: bool) -> None:
    table = MatchTable.of(scenes(images, 3), NAMES)
    assert (resampling.differences(table, table, 20).AP.interval is not None) == has


def test_a_class_that_is_not_labelled_has_no_difference() -> None:
    table = MatchTable.of(scenes(12, 1), (*NAMES, "bus"))
    bus = resampling.differences(table, table, 20).per_class["bus"]
    assert (bus.before, bus.difference, bus.interval) == (None, None, None)
