"""Slices of what was judged: they add up to the whole, and each has the figure of its images alone."""

import itertools

import pytest

from pipeline.evaluation.measures import slices
from pipeline.evaluation.measures.matches import MatchTable
from pipeline.evaluation.measures.slices import Slice
from tests.pipeline.evaluation.scenes import NAMES, scenes
from tests.pipeline.judged_images import found, judged, truth

DAY, NIGHT = {"timeofday": "daytime", "weather": "clear"}, {"timeofday": "night"}


def measure(*images) -> dict[tuple[str, str], Slice]:
    measured = slices.measure(images, MatchTable.of(images, NAMES))
    return {(each.kind, each.name): each for each in measured}


def test_slices_add_up() -> None:
    described = itertools.cycle((DAY, NIGHT, {}))
    images = [
        judged(list(each.truth), list(each.detections), **of)
        for each, of in zip(scenes(40, 1), described, strict=False)
    ]
    found = measure(*images)
    whole = found["all", "all"]
    for kind in ("class", "size", "time of day", "weather"):
        parts = [each for (of, _), each in found.items() if of == kind]
        assert sum(each.instances for each in parts) == whole.instances > 0
        if kind in ("time of day", "weather"):
            assert sum(each.images for each in parts) == whole.images == 40
    assert [name for kind, name in found if kind == "time of day"] == ["daytime", "night", "not given"]


def test_a_slice_has_the_figure_of_its_images_alone() -> None:
    day, night = scenes(12, 1), scenes(12, 2)
    of_day = [judged(list(each.truth), list(each.detections), **DAY) for each in day]
    of_night = [judged(list(each.truth), list(each.detections), **NIGHT) for each in night]
    parts, alone = measure(*of_day, *of_night), measure(*night)["all", "all"]
    assert parts["time of day", "night"].AP == alone.AP
    assert parts["time of day", "night"].interval == alone.interval


def test_an_interval_lies_about_its_figure_and_few_images_have_none() -> None:
    whole = measure(*scenes(40, 1))["all", "all"]
    assert whole.interval.low < whole.AP < whole.interval.high
    assert measure(*scenes(9, 1))["all", "all"].interval is None


@pytest.mark.parametrize(("side", "size"), [(31, "small"), (32, "medium"), (95, "medium"), (96, "large")])
def test_each_object_is_counted_in_one_size(side: int, size: str) -> None:
    found_ = measure(judged([truth("car", 10, 10, side)], [found("car", 0.9, 10, 10, side)]))
    assert {name: each.instances for (kind, name), each in found_.items() if kind == "size"} == {
        name: int(name == size) for name in ("small", "medium", "large")
    }
    assert found_["size", size].AP == 1


def test_images_that_nobody_described_have_no_slices_by_attribute() -> None:
    assert {kind for kind, _ in measure(*scenes(3, 1))} == {"all", "class", "size"}
