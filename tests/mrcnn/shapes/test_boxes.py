"""Boxes, by values computed by hand and by inverse functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.ops import boxes
from mrcnn.shapes import metrics
from mrcnn.shapes.boxes import apply_box_deltas, box_refinement, denorm_boxes, non_max_suppression

SQUARE = [0.0, 0.0, 2.0, 2.0]
RIGHT_HALF_SHIFTED = [0.0, 1.0, 2.0, 3.0]
EMPTY = [1.0, 1.0, 1.0, 1.0]


def test_two_squares_that_share_a_half_have_iou_one_third():
    found = boxes.overlaps(np.float32([SQUARE]), np.float32([RIGHT_HALF_SHIFTED]))
    assert found.numpy()[0, 0] == pytest.approx(2 / 6)


def test_two_empty_boxes_have_iou_zero_and_not_nan():
    assert boxes.overlaps(np.float32([EMPTY]), np.float32([EMPTY])).numpy()[0, 0] == 0
    assert metrics.compute_overlaps(np.array([EMPTY]), np.array([EMPTY]))[0, 0] == 0


def test_a_box_inside_a_crowd_is_covered_although_the_iou_is_small():
    crowd = np.float32([[0, 0, 10, 10]])
    assert boxes.covered(np.float32([SQUARE]), crowd).numpy()[0, 0] == 1
    assert boxes.overlaps(np.float32([SQUARE]), crowd).numpy()[0, 0] == pytest.approx(0.04)


def test_deltas_are_relative_shifts_and_logarithmic_scales():
    moved = boxes.apply_deltas(np.float32([SQUARE]), np.float32([[0.5, 0, np.log(2), 0]])).numpy()[0]
    assert moved == pytest.approx([0, 0, 4, 2], abs=1e-6)


def test_very_large_deltas_give_finite_boxes():
    assert np.isfinite(boxes.apply_deltas(np.float32([SQUARE]), np.float32([[0, 0, 1000, 1000]])).numpy()).all()


def test_pixels_to_fractions_puts_the_last_pixel_at_one():
    whole = boxes.to_fractions(np.array([[0, 0, 5, 9]]), (5, 9)).numpy()
    assert whole.tolist() == [[0, 0, 1, 1]]
    assert denorm_boxes(whole, (5, 9)).tolist() == [[0, 0, 5, 9]]


def test_clipping_limits_boxes_to_the_window():
    assert boxes.clip(np.float32([[-1, 0.2, 0.5, 2]]), np.float32([0, 0, 1, 1])).numpy() == pytest.approx(
        np.float32([[0, 0.2, 0.5, 1]])
    )


def test_non_maximum_suppression_removes_the_lower_score_of_two_that_overlap():
    candidates = np.array([SQUARE, [0, 0.5, 2, 2.5], [5, 5, 7, 7]])
    assert non_max_suppression(candidates, np.array([0.6, 0.9, 0.1]), 0.3).tolist() == [1, 2]


coordinates = st.integers(0, 500)
sides = st.integers(1, 300)


@given(st.lists(st.tuples(coordinates, coordinates, sides, sides, coordinates, coordinates, sides, sides), min_size=1))
def test_applying_deltas_between_boxes_gives_the_target(rows):
    y, x, h, w, goal_y, goal_x, goal_h, goal_w = np.array(rows, np.float64).T
    start = np.stack([y, x, y + h, x + w], axis=1)
    goal = np.stack([goal_y, goal_x, goal_y + goal_h, goal_x + goal_w], axis=1)
    reached = apply_box_deltas(start, box_refinement(start, goal))
    assert reached == pytest.approx(goal, abs=0.05)


def test_the_two_implementations_agree():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 50, (2, 20, 2))
    first, second = np.concatenate([corner, corner + rng.uniform(1, 50, (2, 20, 2))], axis=2).astype(np.float32)
    assert boxes.deltas_between(first, second).numpy() == pytest.approx(box_refinement(first, second), abs=1e-5)
    assert boxes.overlaps(first, second).numpy() == pytest.approx(metrics.compute_overlaps(first, second), abs=1e-5)
