"""What is measured at mask IoU 0.5: matches, the score threshold with the best F1, the confusion matrix."""

import pytest

from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.scores import (
    FALLBACK,
    Fit,
    Reached,
    Threshold,
    best_thresholds,
    confusion_matrix,
    cross_fitted,
    reached,
)
from tests.pipeline.judged_images import found, judged, truth

CLASSES = ["car", "bike"]
THRESHOLDS = dict.fromkeys(CLASSES, Threshold(0.5, 1, 1, 1))


def threshold(*images: JudgedImage) -> Threshold:
    return best_thresholds(images, ["car"])["car"]


def counts(*images: JudgedImage) -> list[list[int]]:
    """Return the confusion matrix: rows labelled, columns detected, background last."""
    return confusion_matrix(images, CLASSES, THRESHOLDS).tolist()


def test_a_detection_takes_the_best_instance_that_a_better_one_left() -> None:
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 14, 10, 30)],
        [found("car", 0.9, 13, 10, 30), found("car", 0.8, 14, 10, 30), found("car", 0.7, 14, 10, 30)],
    )
    assert image.truth_of == [1, 0, -1]


def test_the_threshold_keeps_the_true_and_drops_the_false() -> None:
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 60, 10, 30)],
        [
            found("car", score, *at, 30)
            for score, at in ((0.9, (10, 10)), (0.6, (60, 10)), (0.4, (150, 150)), (0.3, (100, 150)))
        ],
    )
    assert threshold(image) == Threshold(score=0.6, f1=1, precision=1, recall=1)


def test_a_false_one_between_two_true_ones_is_accepted_when_that_gains_more() -> None:
    # thresholds: 0.9 → F1 2·1/(1+2) = 0.667, 0.7 → 2·1/(2+2) = 0.5, 0.5 → 2·2/(3+2) = 0.8
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 60, 10, 30)],
        [found("car", 0.9, 10, 10, 30), found("car", 0.7, 150, 150, 30), found("car", 0.5, 60, 10, 30)],
    )
    assert threshold(image) == Threshold(score=0.5, f1=0.8, precision=0.666667, recall=1)


def test_equal_scores_are_kept_or_dropped_together() -> None:
    image = judged([truth("car", 10, 10, 30)], [found("car", 0.5, 10, 10, 30), found("car", 0.5, 150, 150, 30)])
    assert threshold(image) == Threshold(score=0.5, f1=0.666667, precision=0.5, recall=1)


def test_detections_in_ignored_regions_do_not_move_the_threshold() -> None:
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 100, 100, 90, ignored=True)],
        [found("car", 0.9, 10, 10, 30), found("car", 0.95, 110, 110, 30)],
    )
    assert threshold(image) == Threshold(score=0.9, f1=1, precision=1, recall=1)


def test_a_class_of_which_nothing_was_found_falls_back() -> None:
    nothing = threshold(judged([truth("car", 10, 10, 30)], [found("car", 0.9, 150, 150, 30)]))
    assert (nothing.score, nothing.least) == (None, FALLBACK)


def test_found_mistaken_missed_and_false() -> None:
    truths = [truth("car", 10, 10, 30), truth("bike", 60, 10, 30), truth("bike", 110, 10, 30)]
    detections = [found("car", 0.9, 10, 10, 30), found("car", 0.8, 60, 10, 30), found("bike", 0.7, 10, 150, 30)]
    assert counts(judged(truths, detections)) == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_detections_below_their_threshold_are_not_counted() -> None:
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


def fits_of(count: int, name: str = "{}.jpg") -> list[Fit]:
    """Return the fits of images with one car that is found, and one detection that is false."""
    car, wrong = truth("car", 10, 10, 30), (150, 150, 30)
    detections = [found("car", 0.9, 10, 10, 30), found("car", 0.5, *wrong)]
    return cross_fitted([judged([car], detections, name.format(k)) for k in range(count)], CLASSES)


def test_each_half_is_judged_at_thresholds_of_the_other() -> None:
    fits = fits_of(60)
    assert [fit.apart for fit in fits] == [True, True]
    names = [{image.record.image for image in fit.images} for fit in fits]
    assert len(names[0] | names[1]) == sum(map(len, names)) == 60
    for fit, other in (fits, fits[::-1]):
        assert fit.thresholds == best_thresholds(other.images, CLASSES)
    assert reached(fits, CLASSES)["car"] == Reached(1, 1, 1)


def test_an_images_half_depends_on_its_name_alone() -> None:
    few, many = fits_of(60), fits_of(80)
    halves = [{image.record.image for image in fit.images} for fit in few]
    assert all(half <= {image.record.image for image in fit.images} for half, fit in zip(halves, many, strict=True))


@pytest.mark.parametrize(("count", "name"), [(15, "{}.jpg"), (60, "00091078-875c1f73-{:07d}.jpg")])
def test_few_images_and_those_of_one_video_are_judged_at_their_own_thresholds(count: int, name: str) -> None:
    (fit,) = fits_of(count, name)
    assert not fit.apart
    assert len(fit.images) == count


def test_what_is_reached_is_counted_over_all_images() -> None:
    # car: 0.9 right, 0.6 false, both accepted: precision 1/2, recall 1/2
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 60, 10, 30), truth("bike", 100, 100, 30)],
        [found("car", 0.9, 10, 10, 30), found("car", 0.6, 150, 150, 30), found("car", 0.4, 60, 10, 30)],
    )
    found_ = reached([Fit([image], THRESHOLDS, apart=False)], CLASSES)
    assert found_ == {"car": Reached(0.5, 0.5, 0.5), "bike": Reached(None, 0, 0)}
