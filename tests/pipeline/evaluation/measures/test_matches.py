"""Average precision from the table of matches: pycocotools' figures to 1e-9, and those of images drawn again."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.evaluation import coco
from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.measures.matches import MatchTable
from tests.pipeline.evaluation.scenes import NAMES, scenes
from tests.pipeline.judged_images import found, judged, truth


def by_pycocotools(images: list[JudgedImage]) -> np.ndarray:
    """Return precision [10 IoU, 101 recall, class, 4 areas]."""
    truths = coco.ground_truth(images, NAMES)
    areas = [each.rle.area for image in images for each in image.detections]
    found = [
        {**each, "id": k, "area": area, "iscrowd": 0}
        for k, (each, area) in enumerate(zip(coco.results(images, NAMES), areas, strict=True), 1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        both = COCO(), COCO()
        for each, annotations in zip(both, (truths["annotations"], found), strict=True):
            each.dataset = {**truths, "annotations": annotations}
            each.createIndex()
        evaluation = COCOeval(*both, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., -1]


def means(precision: np.ndarray, area: int) -> np.ndarray:
    """Return average precision [class, 10 IoU], NaN where it isn't measured."""
    return np.where(precision[..., area] > -1, precision[..., area], np.nan).mean(axis=1).T


@pytest.mark.parametrize("seed", range(3))
def test_every_figure_is_that_of_pycocotools(seed: int) -> None:
    images = scenes(40, seed, labels=seed)
    expected = by_pycocotools(images)
    table = MatchTable.of(images, NAMES)
    for area in range(4):
        np.testing.assert_allclose(table.average_precision(area=area)[0], means(expected, area), rtol=0, atol=1e-9)
    ours = coco.average_precision(images, NAMES, "segm")
    assert pytest.approx(np.nanmean(means(expected, 0)), abs=5e-7) == ours.AP
    assert pytest.approx(means(expected, 0)[1, 0], abs=5e-7) == ours.per_class["bike"].AP50


def test_weights_are_images_that_are_there_more_than_once() -> None:
    images = scenes(12, 4, decimals=9)
    weights = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=5)
    drawn = MatchTable.of(images, NAMES).average_precision(weights)
    for row, counts in zip(drawn, weights, strict=True):
        again = [image for image, count in zip(images, counts, strict=True) for _ in range(count)]
        np.testing.assert_allclose(row, MatchTable.of(again, NAMES).average_precision()[0], atol=1e-12)


def test_a_part_of_the_images_is_what_the_table_of_these_gives() -> None:
    images = scenes(12, 5)
    part = np.array([1, 4, 7, 8])
    one, other = MatchTable.of(images, NAMES), MatchTable.of([images[k] for k in part], NAMES)
    assert np.array_equal(one.of_images(part).average_precision(), other.average_precision(), equal_nan=True)
    indicator = np.isin(np.arange(12), part).astype(np.int64)[None]
    np.testing.assert_allclose(one.average_precision(indicator), other.average_precision(), atol=1e-12)


def test_a_class_without_instances_has_no_figure() -> None:
    table = MatchTable.of([judged([truth("car", 10, 10, 30)], [found("bike", 0.5, 10, 10, 30)])], NAMES)
    assert np.array_equal(np.isnan(table.average_precision()[0, :, 0]), [False, True])
