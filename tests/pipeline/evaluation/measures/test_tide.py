"""TIDE's kinds of errors on images of one or two squares, and what correcting each brings."""

import pytest

from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.measures import tide
from tests.pipeline.evaluation.scenes import NAMES, scenes
from tests.pipeline.judged_images import found, judged, truth

CAR, BIKE = truth("car", 10, 10, 40), truth("bike", 100, 100, 40)
RIGHT = [found("car", 0.9, 10, 10, 40), found("bike", 0.9, 100, 100, 40)]
# A square of 40 px moved by d has the IoU (40 - d) / (40 + d): 0.6 for 10, 0.33 for 20, 0.08 for 34.


def kinds(*images: JudgedImage) -> dict[str, tuple[int, float]]:
    """Return (count, AP50_gain) of the kinds that occur."""
    return {each.kind: (each.count, each.AP50_gain) for each in tide.measure(images, NAMES) if each.count}


@pytest.mark.parametrize(
    ("false", "kind"),
    [
        (found("bike", 0.95, 10, 10, 40), "class"),
        (found("car", 0.95, 30, 10, 40), "localisation"),
        (found("bike", 0.95, 30, 10, 40), "both"),
        (found("car", 0.8, 12, 10, 40), "duplicate"),
        (found("car", 0.95, 44, 10, 40), "background"),
        (found("car", 0.95, 10, 150, 20), "background"),
    ],
)
def test_a_false_detection_is_of_one_kind(false, kind) -> None:
    assert {name: count for name, (count, _) in kinds(judged([CAR, BIKE], [*RIGHT, false])).items()} == {kind: 1}


def test_an_instance_on_which_nothing_lies_is_missed() -> None:
    # AP50: car 1, bike 0; without the missed bike there is no bike left to find
    assert kinds(judged([CAR, BIKE], RIGHT[:1])) == {"missed": (1, 0.5)}


def test_an_instance_that_an_error_lies_on_is_not_missed_and_is_found_when_that_is_corrected() -> None:
    loose = found("bike", 0.9, 120, 100, 40)
    assert kinds(judged([CAR, BIKE], [RIGHT[0], loose])) == {"localisation": (1, 0.5)}
    wrong = found("car", 0.5, 100, 100, 40)
    assert kinds(judged([CAR, BIKE], [RIGHT[0], wrong])) == {"class": (1, 0.5)}


def test_of_two_errors_on_an_instance_the_better_one_is_corrected_and_the_other_left_out() -> None:
    two = [found("bike", score, 120, 100, 40) for score in (0.9, 0.8)]
    assert kinds(judged([CAR, BIKE], [RIGHT[0], *two])) == {"localisation": (2, 0.5)}


def test_a_false_detection_above_the_right_one_costs_half_of_the_precision() -> None:
    false = found("car", 0.95, 10, 150, 20)
    assert kinds(judged([CAR, BIKE], [*RIGHT, false])) == {"background": (1, 0.25)}


def test_a_duplicate_costs_what_comes_below_it() -> None:
    # cars at 0.9 right, 0.8 duplicate, 0.7 right: precision 1 up to recall 0.5, then 2 of 3
    cars = [found("car", 0.9, 10, 10, 40), found("car", 0.8, 12, 10, 40), found("car", 0.7, 100, 10, 40)]
    cost = 1 - (51 + 50 * 2 / 3) / 101
    assert kinds(judged([CAR, truth("car", 100, 10, 40)], cars)) == {"duplicate": (1, round(cost, 6))}


def test_what_lies_in_an_ignored_region_is_no_error_and_such_a_region_is_not_missed() -> None:
    image = judged([CAR, BIKE, truth("car", 90, 10, 100, ignored=True)], [*RIGHT, found("car", 0.95, 120, 20, 20)])
    assert kinds(image) == {}


def test_every_false_detection_and_every_unfound_instance_is_accounted_for() -> None:
    images = scenes(40, 3)
    found_ = {each.kind: each.count for each in tide.measure(images, NAMES)}
    false = sum(truth == -1 for image in images for truth in image.truth_of)
    assert sum(found_.values()) - found_["missed"] == false
    assert all(count > 0 for count in found_.values())
