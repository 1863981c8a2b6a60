"""Which of overlapping detections is kept."""

import time

import numpy as np
import pytest

from pipeline.evaluation.detections import Detection, Rle
from pipeline.geometry.polygon import Box
from pipeline.prediction.suppression import suppressed
from tests.pipeline.judged_images import found, rle

CAR = found("car", 0.9, 10, 10, 40)
SHIFTED = found("car", 0.8, 20, 10, 40)  # IoU 30 · 40 / (50 · 40) = 0.6
APART = found("car", 0.7, 100, 100, 40)
PART = found("car", 0.95, 10, 10, 20)  # IoU 0.25, all of it inside
TRUCK = found("truck", 0.5, 12, 10, 40)  # IoU with the car 38 / 42


@pytest.mark.parametrize(
    ("detections", "options", "kept"),
    [
        ([], {}, ()),
        ([SHIFTED, APART, CAR], {}, (CAR, APART)),
        ([SHIFTED, CAR], {"overlap": 0.61}, (CAR, SHIFTED)),
        ([CAR, TRUCK], {}, (CAR, TRUCK)),
        ([TRUCK, CAR], {"agnostic": True}, (CAR,)),
        ([CAR, PART], {}, (PART, CAR)),
        ([CAR, PART], {"measure": "smaller"}, (PART,)),
        ([CAR, PART], {"measure": "smaller", "last": [False, True]}, (CAR,)),
    ],
)
def test_the_higher_score_is_kept(detections, options, kept):
    assert suppressed(detections, **options) == kept


def test_what_is_removed_removes_nothing():
    chain = [found("car", 0.9 - x / 100, x, 0, 40) for x in (0, 10, 20)]  # neighbours 0.6, the ends 1/3
    assert suppressed(chain) == (chain[0], chain[2])


def test_masks_decide_and_not_boxes():
    upper, lower = np.zeros((2, 50, 50), bool)
    upper[np.triu_indices(50, 1)] = lower[np.tril_indices(50, -1)] = True
    halves = [Detection("car", 0.9, Rle.of(mask), Box(0, 0, 50, 50)) for mask in (upper, lower)]
    assert suppressed(halves) == tuple(halves)


def test_an_empty_mask_overlaps_nothing():
    empty = Detection("car", 0.9, rle(0, 0, 0), Box(0, 0, 200, 200))
    assert suppressed([empty, CAR], measure="smaller") == (empty, CAR)


def test_a_thousand_detections_take_less_than_a_second():
    rng = np.random.default_rng(0)
    crowd = [found("car", float(rng.random()), *rng.integers(0, 160, 2), 40) for _ in range(1000)]
    started = time.perf_counter()
    kept = suppressed(crowd)
    assert time.perf_counter() - started < 1
    assert 10 < len(kept) < 200
