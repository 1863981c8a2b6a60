"""Numbers of things through a video."""

import pytest

from pipeline.prediction.tracks import MOST_MISSES, Tracker
from tests.pipeline.judged_images import found


def follow(frames):
    """Return the number of each (category, x, y, side) in each frame."""
    tracker = Tracker()
    detections = [[found(category, 0.9, *place) for category, *place in frame] for frame in frames]
    return [[each.track for each in tracker.follow(of_frame)] for of_frame in detections]


def test_a_moving_square_keeps_its_number():
    assert follow([[("car", 5 * frame, 20, 30)] for frame in range(20)]) == [[1]] * 20


def test_two_that_cross_keep_their_numbers_in_whatever_order_they_come():
    frames = [[("car", 8 * frame, 50, 40), ("car", 150 - 8 * frame, 54, 40)] for frame in range(19)]
    assert follow(frames) == [[1, 2]] * 19
    turned = [frame[:: (-1) ** number] for number, frame in enumerate(frames)]
    assert follow(turned) == [[1, 2][:: (-1) ** number] for number in range(19)]


@pytest.mark.parametrize("missing", [range(8, 11), range(8, 8 + MOST_MISSES)])
def test_one_that_is_hidden_for_a_few_frames_keeps_its_number(missing):
    frames = [[] if frame in missing else [("car", 6 * frame, 20, 30)] for frame in range(25)]
    assert [numbers for numbers in follow(frames) if numbers] == [[1]] * (25 - len(missing))


def test_one_that_is_hidden_for_long_comes_back_as_another():
    frames = [[("car", 20, 20, 30)], *[[]] * (MOST_MISSES + 1), [("car", 20, 20, 30)]]
    assert [follow(frames)[0], follow(frames)[-1]] == [[1], [2]]


def test_one_of_another_class_is_another():
    assert follow([[("car", 20, 20, 30)], [("truck", 20, 20, 30)], [("car", 20, 20, 30)]]) == [[1], [2], [1]]


def test_one_that_jumps_is_another():
    assert follow([[("car", 20, 20, 30)], [("car", 120, 120, 30)]]) == [[1], [2]]


def test_the_better_fit_wins():
    frames = [[("car", 20, 20, 40)], [("car", 30, 20, 40), ("car", 21, 20, 40)]]
    assert follow(frames) == [[1], [2, 1]]


def test_one_that_grows_keeps_its_number():
    assert follow([[("car", 80 - 3 * frame, 80 - 3 * frame, 20 + 6 * frame)] for frame in range(20)]) == [[1]] * 20
