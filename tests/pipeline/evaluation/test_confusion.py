"""The confusion matrix: rows labelled, columns detected, background last."""

from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.scores import Threshold, match, matrix
from tests.pipeline.judged_images import found, judged, truth

CLASSES = ["car", "bike"]
THRESHOLDS = dict.fromkeys(CLASSES, Threshold(0.5, 1, 1, 1))


def counts(*images: JudgedImage) -> list[list[int]]:
    return matrix(images, [match(image) for image in images], CLASSES, THRESHOLDS).tolist()


def test_found_mistaken_missed_and_false() -> None:
    truths = [truth("car", 10, 10, 30), truth("bike", 60, 10, 30), truth("bike", 110, 10, 30)]
    detections = [found("car", 0.9, 10, 10, 30), found("car", 0.8, 60, 10, 30), found("bike", 0.7, 10, 150, 30)]
    assert counts(judged(truths, detections)) == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_detections_below_their_threshold_are_not_there() -> None:
    image = judged([truth("car", 10, 10, 30)], [found("car", 0.4, 10, 10, 30)])
    assert counts(image) == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_the_right_class_is_paired_before_a_better_fitting_wrong_one() -> None:
    image = judged([truth("car", 10, 10, 30)], [found("bike", 0.9, 10, 10, 30), found("car", 0.6, 14, 10, 30)])
    assert counts(image) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_what_lies_in_an_ignored_region_is_not_counted() -> None:
    image = judged([truth("car", 80, 80, 100, ignored=True)], [found("bike", 0.9, 90, 90, 30)])
    assert counts(image) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_images_add_up_and_empty_ones_add_nothing() -> None:
    image = judged([truth("car", 10, 10, 30)], [found("car", 0.9, 10, 10, 30)])
    assert counts(image, judged([], []), image) == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]
