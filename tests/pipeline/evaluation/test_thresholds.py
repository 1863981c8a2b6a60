"""Score thresholds: the cut with the best F1."""

from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.scores import FALLBACK, Threshold, match, measure
from tests.pipeline.judged_images import found, judged, truth


def threshold(*images: JudgedImage) -> Threshold:
    return measure(images, [match(image) for image in images], ["car"])["car"]


def test_the_cut_keeps_the_true_and_drops_the_false() -> None:
    hits = [found("car", 0.9, 10, 10, 30), found("car", 0.6, 60, 10, 30)]
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 60, 10, 30)],
        [*hits, found("car", 0.4, 150, 150, 30), found("car", 0.3, 100, 150, 30)],
    )
    assert threshold(image) == Threshold(score=0.6, f1=1, precision=1, recall=1)


def test_a_false_one_between_two_true_ones_is_accepted_when_that_gains_more() -> None:
    # cuts: 0.9 → F1 2·1/(1+2) = 0.667, 0.7 → 2·1/(2+2) = 0.5, 0.5 → 2·2/(3+2) = 0.8
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
    assert nothing.score is None
    assert nothing.least == FALLBACK


def test_a_detection_takes_the_best_instance_that_a_better_one_left() -> None:
    image = judged(
        [truth("car", 10, 10, 30), truth("car", 14, 10, 30)],
        [found("car", 0.9, 13, 10, 30), found("car", 0.8, 14, 10, 30), found("car", 0.7, 14, 10, 30)],
    )
    assert match(image).truth_of.tolist() == [1, 0, -1]
