"""What is suspect in labelled pictures, and in pictures with detections only, in a few squares."""

from dataclasses import replace

import pytest

from pipeline.evaluation.detections import Detection, JudgedImage, Truth
from pipeline.relabelling import suspects
from pipeline.relabelling.suspects import Kind
from tests.pipeline.judged_images import found, judged, truth

CAR, SEEN = truth("car", 20, 20, 40), found("car", 0.9, 20, 20, 40)


def usual(images: int = 60) -> list[JudgedImage]:
    """Return images in which a car and a sign are labelled and found; a bike is labelled, and found in every other."""
    labels = [CAR, truth("sign", 100, 20, 40), truth("bike", 20, 100, 40)]
    detections = [SEEN, found("sign", 0.8, 100, 20, 40), found("bike", 0.7, 20, 100, 40)]
    return [judged(labels, detections[: 2 + number % 2], f"{number:03}.jpg") for number in range(images)]


def only(truths: list[Truth], detections: list[Detection]) -> suspects.Suspect:
    """Return the first suspect of an image among usual ones; it is the image's."""
    named = [replace(each, instance=f"id {place}") for place, each in enumerate(truths)]
    first = suspects.of_labels([*usual(), judged(named, detections, "odd.jpg")])[0]
    assert first.image == "odd.jpg"
    return first


@pytest.mark.parametrize(
    ("truths", "detections", "kind", "instance", "reason"),
    [
        ([], [SEEN], Kind.MISSING, "detection 1", "car 0.90 without a label"),
        ([CAR], [], Kind.UNSUPPORTED, "id 0", "label car that nothing supports"),
        ([truth("car", 45, 20, 40)], [SEEN], Kind.MOVED, "id 0", "car 0.90 beside its label"),
        ([truth("sign", 20, 20, 40)], [SEEN], Kind.RENAMED, "id 0", "car 0.90 labelled sign"),
        ([truth("car", 20, 20, 30)], [SEEN], Kind.LOOSE, "id 0", "label car overlaps car 0.90 by 0.56"),
    ],
)
def test_a_disagreement_stands_first_and_says_what_it_is(
    truths: list[Truth], detections: list[Detection], kind: Kind, instance: str, reason: str
) -> None:
    first = only(truths, detections)
    assert (first.kind, first.instance, first.reason) == (kind, instance, reason)


def test_what_the_model_often_misses_stands_behind_what_it_hardly_misses() -> None:
    alone = [judged([CAR], [], "car.jpg"), judged([truth("bike", 20, 100, 40)], [], "bike.jpg")]
    scores = {each.image: each.score for each in suspects.of_labels([*usual(), *alone])}
    assert scores["car.jpg"] > 0.7 > 0.5 > scores["bike.jpg"]


def test_two_signs_of_an_error_weigh_more_than_one() -> None:
    renamed, missing = only([truth("sign", 20, 20, 40)], [SEEN]), only([], [SEEN])
    assert renamed.score > missing.score


def test_nothing_is_missing_or_wrong_in_an_ignored_region() -> None:
    crowd = truth("car", 0, 0, 150, ignored=True)
    every = suspects.of_labels([*usual(), judged([crowd], [SEEN], "odd.jpg")])
    assert [each.score for each in every if each.image == "odd.jpg"] == [0.0]


def test_a_part_of_a_labelled_object_is_no_missing_label() -> None:
    part = found("car", 0.95, 20, 20, 20)
    (odd,) = (
        each
        for each in suspects.of_labels([*usual(), judged([CAR], [SEEN, part], "odd.jpg")])
        if each.image == "odd.jpg" and each.kind == Kind.MISSING
    )
    assert odd.score == 0.0


def test_no_pictures_and_no_labels_have_no_suspects() -> None:
    assert suspects.of_labels([]) == []
    assert suspects.of_labels([judged([], [])]) == []


@pytest.mark.parametrize(("score", "suspicion"), [(0.6, 1.0), (0.8, 0.5), (1.0, 0.0), (0.3, 0.5), (0.6 * 0.9, 0.9)])
def test_a_score_is_unsure_near_its_threshold_on_both_sides(score: float, suspicion: float) -> None:
    (one,) = suspects.of_detections({"a.jpg": [found("car", score, 0, 0, 20)]}, {"car": 0.6})
    assert (one.kind, one.score) == (Kind.UNSURE, pytest.approx(suspicion))


@pytest.mark.parametrize(
    ("category", "score", "x", "conflict"),
    [
        ("bike", 0.9, 0, (Kind.TWO_CLASSES, 1.0)),
        ("car", 0.9, 2, (Kind.DUPLICATE, 1.0)),
        ("bike", 0.3, 0, (Kind.TWO_CLASSES, 0.5)),
        ("bike", 0.9, 100, None),
    ],
)
def test_two_detections_of_one_region_cannot_both_be_right(
    category: str, score: float, x: int, conflict: tuple[Kind, float] | None
) -> None:
    pair = [found("car", 0.95, 0, 0, 20), found(category, score, x, 0, 20)]
    found_of_pair = suspects.of_detections({"a.jpg": pair}, {"car": 0.6, "bike": 0.6})
    conflicts = [(each.kind, each.score) for each in found_of_pair if each.kind != Kind.UNSURE]
    assert conflicts == ([(conflict[0], pytest.approx(conflict[1]))] if conflict else [])


def test_the_worst_suspect_of_a_picture_counts_most_and_many_weak_ones_do_not_outweigh_it() -> None:
    one = suspects.Suspect("one.jpg", "1", "car", Kind.MISSING, 0.9, "")
    weak = replace(one, image="weak.jpg", score=0.4)
    pooled = suspects.pooled([one, replace(one, score=0.1), *[weak] * 20])
    assert pooled["one.jpg"] == pytest.approx(0.9, abs=1e-3)
    assert pooled["weak.jpg"] == pytest.approx(0.4)
