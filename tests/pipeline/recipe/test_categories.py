"""One vocabulary over the BDD releases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipe.categories import DETECTION, Meaning, Wanted, canonical, is_line, look_alike


@pytest.mark.parametrize(
    ("word", "official"),
    [
        ("bike", "bicycle"),
        ("motor", "motorcycle"),
        ("person", "pedestrian"),
        ("area/drivable", "direct"),
        ("area/alternative", "alternative"),
        ("lane/road curb", "road curb"),
        ("Traffic_Sign", "traffic sign"),
        (" car ", "car"),
        ("Swan", "Swan"),
        ("rear_bumper", "rear_bumper"),
        ("lane/of my own", "lane/of my own"),
    ],
)
def test_a_word_of_any_release_has_one_official_name_and_other_words_stay(word: str, official: str) -> None:
    assert canonical(word) == official


@given(st.text())
def test_an_official_name_is_its_own_official_name(word: str) -> None:
    assert canonical(canonical(word)) == canonical(word)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("drivable area", "direct"),
        ("area/drivable", None),
        ("direct", None),
    ],
)
def test_the_direct_area_of_every_release_is_reached_by_the_wide_word_and_by_the_narrow_one(
    word: str, kind: str | None
) -> None:
    assert Wanted(["drivable area"]).meaning(word, kind) == Meaning("drivable area")
    assert Wanted(["direct"]).meaning(word, kind) == Meaning("direct")
    assert Wanted(["area/drivable"]).meaning(word, kind) == Meaning("direct")
    assert Wanted([]).meaning(word, kind) == Meaning("direct")
    assert Wanted(["alternative"]).meaning(word, kind) is None


def test_the_narrower_of_two_wanted_words_wins() -> None:
    wanted = Wanted(["drivable area", "direct"])
    assert wanted.meaning("drivable area", "direct") == Meaning("direct")
    assert wanted.meaning("drivable area", "alternative") == Meaning("drivable area")
    assert wanted.meaning("drivable area", None) == Meaning("drivable area")


def test_lanes_of_every_release_are_reached_by_lane_and_by_their_type() -> None:
    assert Wanted(["lane"]).meaning("lane", "crosswalk") == Meaning("lane")
    assert Wanted(["lane"]).meaning("lane/crosswalk") == Meaning("lane")
    assert Wanted(["crosswalk"]).meaning("crosswalk") == Meaning("crosswalk")
    assert Wanted(["crosswalk"]).meaning("lane", "road curb") is None
    assert is_line("lane")
    assert is_line("road curb")
    assert not is_line("direct")


def test_kinds_of_other_categories_mean_nothing() -> None:
    assert Wanted([]).meaning("car", "direct") == Meaning("car")


@pytest.mark.parametrize(
    ("word", "counted_as", "ignored"),
    [
        ("caravan", "car", False),
        ("van", "car", False),
        ("other vehicle", "car", True),
        ("other person", "pedestrian", True),
        ("trailer", "truck", True),
    ],
)
def test_categories_outside_the_benchmark_are_counted_as_others(word: str, counted_as: str, ignored: bool) -> None:
    assert Wanted([]).meaning(word) == Meaning(counted_as, ignored)
    assert Wanted([counted_as]).meaning(word) == Meaning(counted_as, ignored)
    assert Wanted(["rider"]).meaning(word) is None


def test_a_category_outside_the_benchmark_that_is_wanted_by_name_is_itself() -> None:
    assert Wanted(["truck", "trailer"]).meaning("trailer") == Meaning("trailer")


def test_wanted_categories_keep_their_order_and_don_t_repeat() -> None:
    assert Wanted(["bike", "car", "bicycle", "person"]).categories == ("bicycle", "car", "pedestrian")


def test_nothing_wanted_by_name_means_everything() -> None:
    assert all(Wanted([]).meaning(name) == Meaning(name) for name in (*DETECTION, "Swan"))


def test_spellings_that_differ_in_case_and_white_space_are_one_category() -> None:
    wanted = Wanted(["Road stress", "A", "a"])
    assert wanted.meaning(" road  STRESS ") == Meaning("Road stress")
    assert (wanted.meaning("a"), wanted.meaning("A"), wanted.meaning("road")) == (Meaning("a"), Meaning("A"), None)


def test_renamed_words_are_read_as_the_category_that_they_become() -> None:
    wanted = Wanted(["car", "cycle"], {"Autos": "car", "bike": "cycle", "other vehicle": "car"})
    assert wanted.meaning("autos") == Meaning("car")
    assert wanted.meaning("bicycle") == Meaning("cycle")
    assert wanted.meaning("other vehicle") == Meaning("car")
    assert Wanted([], {"Autos": "car"}).meaning("AUTOS") == Meaning("car")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("scrach", "scratch", True),
        ("Cars", "car", True),
        ("rear_bumper", "rear bumper", True),
        ("dent", "scratch", False),
        ("zone 1", "zone 2", False),
        ("grade_A", "grade_B", False),
        ("traffic light", "traffic sign", False),
        ("single white", "single yellow", False),
        ("x" * 999, "x" * 998, False),
    ],
)
def test_names_look_alike_where_they_may_be_spellings_of_one(first: str, second: str, expected: bool) -> None:
    assert look_alike(first, second) == expected
