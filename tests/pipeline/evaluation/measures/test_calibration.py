"""How far scores are from the share of detections that are right, by hand."""

from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.measures import calibration
from tests.pipeline.judged_images import found, judged, truth

RIGHT, FALSE = (10, 10, 40), (120, 120, 40)


def images(*detections: tuple[str, float, tuple[int, int, int]]) -> list[JudgedImage]:
    """Return images of one car with one detection each."""
    return [judged([truth("car", *RIGHT)], [found(name, score, *at)]) for name, score, at in detections]


def measure(*detections: tuple[str, float, tuple[int, int, int]]) -> calibration.Calibration:
    """Return the calibration over such images."""
    return calibration.measure(images(*detections))


def test_scores_that_say_how_many_are_right_have_no_error() -> None:
    quarter = measure(*[("car", 0.25, RIGHT if k == 0 else FALSE) for k in range(4)])
    assert (quarter.ECE, quarter.detections) == (0, 4)
    assert quarter.bins[2] == calibration.Bin(0.2, 0.3, 4, 0.25, 0.25)


def test_the_error_weights_each_tenth_by_its_detections() -> None:
    # 0.95 and 0.91 right: |0.93 - 1| · 2; 0.3 false: |0.3 - 0| · 1
    found_ = measure(("car", 0.95, RIGHT), ("car", 0.91, RIGHT), ("car", 0.3, FALSE))
    assert round((0.07 * 2 + 0.3) / 3, 6) == found_.ECE
    assert sum(each.detections for each in found_.bins) == found_.detections == 3


def test_a_score_of_1_is_in_the_last_tenth_and_an_empty_tenth_has_no_figures() -> None:
    found_ = measure(("car", 1.0, RIGHT))
    assert (found_.ECE, found_.bins[9].detections, found_.bins[0].score) == (0, 1, None)
    assert measure().ECE is None


def test_a_class_has_a_calibration_of_its_own() -> None:
    of_class = calibration.by_class(images(("car", 0.9, RIGHT), ("bike", 0.6, FALSE)), ("car", "bike", "bus"))
    assert [of_class[name].ECE for name in ("car", "bike", "bus")] == [0.1, 0.6, None]


def test_what_lies_in_an_ignored_region_is_not_counted() -> None:
    image = judged([truth("car", 10, 10, 150, ignored=True)], [found("car", 0.9, 20, 20, 30)])
    assert calibration.measure([image]).detections == 0
