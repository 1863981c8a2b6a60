"""The recipe's filters: what they leave out is counted by reason, kept with its label, and no fault."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import recipe
from pipeline.artifacts import summary
from pipeline.artifacts.summary import Check
from pipeline.errors import EmptyDatasetError, RecipeError
from pipeline.instances.reasons import (
    BOX_LEFT_OUT,
    BOX_WITHOUT_AREA,
    NO_VALUE,
    OCCLUDED,
    OTHER_VALUE,
    TOO_SMALL,
    TRUNCATED,
)
from pipeline.labels.filters import ImageFilter
from pipeline.stages import STAGES
from tests.pipeline.labelled_folders import (
    SQUARE,
    area,
    box,
    filtered,
    folder_with,
    frame,
    reasons,
    recipe_of,
    table,
    via_of,
)
from tests.pipeline.small_datasets import entry, square

CAR = area("car", SQUARE)
TWO = ["train/a.jpg", "val/b.jpg"]


def stage(tmp_path: Path, images: Any, labels_of: Any, **sections: Any) -> Path:
    """Run everything up to filtered labels on a folder with one label file."""
    data = folder_with(tmp_path / "data", images, {"l.json": labels_of})
    return filtered(recipe_of([data], [data], **sections), tmp_path / "work")


def checks(out: Path) -> dict[str, Check]:
    found = {check.name: check for check in summary.read(out).checks}
    assert set(found) == set(STAGES["filtered_labels"].checks)
    return found


def where(**names: Any) -> ImageFilter:
    return ImageFilter(recipe.parse({"labels": {"where": names}}).labels.where)


def test_images_are_chosen_by_their_attributes(tmp_path: Path) -> None:
    said = {
        "a": {"timeofday": "night", "weather": "rainy"},
        "b": {"timeofday": "Night", "weather": "snowy"},
        "c": {"timeofday": "daytime", "weather": "rainy"},
        "d": {"timeofday": "night", "weather": "clear"},
        "e": {"timeofday": "night"},
        "f": {},
    }
    images = {f"{'val' if name == 'b' else 'train'}/{name}.jpg": number for number, name in enumerate(said)}
    frames = [frame(f"{name}.jpg", CAR, attributes=attributes) for name, attributes in said.items()]
    out = stage(tmp_path, images, frames, labels={"where": {"timeofday": "night", "weather": ["rainy", "snowy"]}})
    assert [row["image"] for row in table(out, "images")] == ["a.jpg", "b.jpg"]
    assert reasons(out) == [
        ("c.jpg", OTHER_VALUE.format(attribute="timeofday")),
        ("d.jpg", OTHER_VALUE.format(attribute="weather")),
        ("e.jpg", NO_VALUE.format(attribute="weather")),
        ("f.jpg", NO_VALUE.format(attribute="timeofday")),
    ]
    assert summary.read(out).numbers["images_filtered_out"] == 4
    assert checks(out)["rejected_share"].numbers["share"] == 0


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"Lanes": 3}, True),
        ({"lanes": 3.0}, True),
        ({"lanes": " 3 "}, True),
        ({"lanes": ["1", 3]}, True),
        ({"lanes": {"3": True, "4": False}}, True),
        ({"lanes": {"3": False}}, False),
        ({"lanes": 30}, False),
        ({"lanes": None}, False),
        ({}, False),
    ],
)
def test_values_are_compared_as_text(attributes: dict[str, Any], kept: bool) -> None:
    assert (where(lanes=3).reason(json.dumps(attributes)) is None) == kept


def test_a_recipe_may_ask_for_truth_values_and_not_for_nothing() -> None:
    assert where(wet=True).reason('{"wet":true}') is None
    assert where().reason("{}") is None
    with pytest.raises(RecipeError, match=r"labels.where.wet: .*at least 1 item"):
        where(wet=[])
    with pytest.raises(RecipeError, match=r"labels.where.wet.0"):
        where(wet=[{"a": 1}])


def test_a_choice_that_leaves_nothing_says_what_there_is(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR, attributes={"timeofday": "daytime"}), frame("b.jpg", CAR)]
    message = r"labels.where leaves out 2 images \(those labelled have timeofday: daytime \(1\); .* attribute mood\)"
    with pytest.raises(EmptyDatasetError, match=message):
        stage(tmp_path, TWO, frames, labels={"where": {"timeofday": ["night"], "mood": ["good"]}})


def test_a_choice_that_empties_a_split_says_so(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR, attributes={"scene": "city"}), frame("b.jpg", CAR, attributes={"scene": "tunnel"})]
    with pytest.raises(
        EmptyDatasetError, match=r"labels.where leaves out 1 images .*of the others: .*folder called val"
    ):
        stage(tmp_path, TWO, frames, labels={"where": {"scene": ["city"]}}, dataset={"split": "path"})


def test_a_later_source_that_is_silent_of_the_image_keeps_what_an_earlier_one_says_of_it(tmp_path: Path) -> None:
    frames = [frame(name, CAR, attributes={"scene": "city"}, videoName=name) for name in ("a.jpg", "b.jpg")]
    corrected = {"a.jpg-1": entry("a.jpg", [square(1, 1, 9, "car")])}
    data = folder_with(tmp_path / "data", TWO, {"l.json": frames, "via.json": corrected})
    made = recipe_of([data], [data / "l.json", data / "via.json"], labels={"where": {"scene": ["city"]}})
    rows = table(filtered(made, tmp_path / "work"), "images")
    assert [(row["image"], row["video"], row["attributes"]) for row in rows] == [
        ("a.jpg", "a.jpg", '{"scene":"city"}'),
        ("b.jpg", "b.jpg", '{"scene":"city"}'),
    ]


def test_of_what_two_sources_say_of_an_image_the_later_one_holds(tmp_path: Path) -> None:
    frames = [frame(name, CAR, attributes={"scene": "city", "lanes": 3}) for name in ("a.jpg", "b.jpg")]
    corrected = {"a.jpg-1": {**entry("a.jpg", [square(1, 1, 9, "car")]), "file_attributes": {"scene": "tunnel"}}}
    data = folder_with(tmp_path / "data", TWO, {"l.json": frames, "via.json": corrected})
    rows = table(filtered(recipe_of([data], [data / "l.json", data / "via.json"]), tmp_path / "work"), "images")
    assert [json.loads(row["attributes"]) for row in rows] == [
        {"scene": "tunnel", "lanes": 3},
        {"scene": "city", "lanes": 3},
    ]


FLAGGED = [
    area("car", SQUARE, id="plain"),
    area("car", SQUARE, id="occluded", attributes={"occluded": True}),
    area("car", SQUARE, id="Truncated", attributes={"Truncated": True, "Occluded": False}),
    area("car", SQUARE, id="both", attributes={"occluded": True, "truncated": True}),
    area("sky", SQUARE, id="unwanted", attributes={"occluded": True}),
]


def flagged(tmp_path: Path, **labels: Any) -> Path:
    frames = [frame("a.jpg", *FLAGGED), frame("b.jpg", CAR)]
    return stage(tmp_path, TWO, frames, labels={"categories": ["car"], **labels})


def test_occluded_and_truncated_labels_are_left_out_when_the_recipe_says_so(tmp_path: Path) -> None:
    out = flagged(tmp_path, occluded="leave_out", truncated="leave_out")
    assert [row["instance_id"] for row in table(out, "labels")] == ["plain", "0"]
    rejected = table(out, "rejected")
    assert {row["label_id"]: row["reason"] for row in rejected} == {
        "occluded": OCCLUDED,
        "Truncated": TRUNCATED,
        "both": OCCLUDED,
    }
    for row in rejected:
        assert (row["source"], row["image"]) == ("l.json", "a.jpg")
        label = json.loads(row["label"])
        assert (label["category"], label["geometry"]) == ("car", "polygon")
        assert label["rings"] == [[list(point) for point in SQUARE]]
        assert label.get("truncated") is (None if row["label_id"] == "occluded" else True)
    said = summary.read(out)
    assert (said.numbers["labels_filtered_out"], said.numbers["labels_left_out"]) == (3, 0)
    assert Counter({row["reason"]: row["rows"] for row in said.tables["rejected"]}) == {
        OCCLUDED: 2,
        TRUNCATED: 1,
    }
    assert said.tables["other_categories"] == [{"category": "sky", "labels": 1}]
    assert checks(out)["rejected_share"].passed
    assert "its filters left out 3 more" in checks(out)["rejected_share"].description


def test_occluded_labels_can_be_ignored_and_stay_so_in_via(tmp_path: Path) -> None:
    out = flagged(tmp_path, occluded="ignore")
    assert {row["instance_id"]: row["ignored"] for row in table(out, "labels")} == {
        "plain": False,
        "occluded": True,
        "Truncated": False,
        "both": True,
        "0": False,
    }
    made = recipe_of([tmp_path / "data"], [tmp_path / "data"], labels={"categories": ["car"]})
    content = json.loads((via_of(made, out, "train") / "via_region_data.json").read_bytes())
    (regions,) = (each["regions"].values() for each in content.values())
    assert [region["region_attributes"].get("ignored") for region in regions] == [None, "true", None, "true"]


def test_flags_of_via_files_are_understood_in_any_case(tmp_path: Path) -> None:
    answers = {"Occluded": "Yes", "OCCLUDED": "1", "occluded": "no", "truncated": "true"}
    regions = [square(1, 1, 9, "car", **{key: value}) for key, value in answers.items()]
    content = {name: entry(name, regions) for name in ("a.jpg", "b.jpg")}
    out = stage(tmp_path, TWO, content, labels={"occluded": "leave_out", "truncated": "keep"})
    kept = [(row["occluded"], row["truncated"]) for row in table(out, "labels") if row["image"] == "a.jpg"]
    assert kept == [(False, None), (None, True)]


def test_filters_are_told_from_faults(tmp_path: Path) -> None:
    small, flat = area("car", [(0, 0), (2, 0), (2, 2)], id="small"), box("car", 5, 5, 5, 9, id="flat")
    frames = [frame("a.jpg", CAR, small, flat, box("car", 1, 1, 9, 9, id="box")), frame("b.jpg", CAR)]
    out = stage(tmp_path, TWO, frames, labels={"least_area": 5, "boxes": "leave_out"})
    assert {row["label_id"]: row["reason"] for row in table(out, "rejected")} == {
        "small": TOO_SMALL,
        "flat": BOX_WITHOUT_AREA,
        "box": BOX_LEFT_OUT,
    }
    numbers = summary.read(out).numbers
    assert (numbers["labels_filtered_out"], numbers["labels_left_out"]) == (2, 1)
    assert checks(out)["rejected_share"].numbers["share"] == pytest.approx(1 / 3)
    assert not checks(out)["rejected_share"].passed


@pytest.mark.parametrize(
    "sections", [{"dataset": {"limit": {"train": 1}}}, {"labels": {"where": {"weather": ["rainy"]}}}]
)
def test_the_share_of_faults_is_of_all_images_that_were_read(tmp_path: Path, sections: Any) -> None:
    rainy = {"weather": "rainy"}
    frames = [frame(f"{name}.jpg", CAR, box("car", 5, 5, 5, 9)) for name in "pqrstuv"]
    frames += [frame("a.jpg", CAR, attributes=rainy), frame("b.jpg", CAR, attributes=rainy)]
    images = [*(f"train/{name}.jpg" for name in "pqrstuva"), "val/b.jpg"]
    out = stage(tmp_path, images, frames, **sections)
    assert len(table(out, "labels")) == 2
    assert checks(out)["rejected_share"].numbers["share"] == pytest.approx(7 / 16)


def test_the_recipe_sets_the_share_of_faults_that_warns(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR, box("car", 5, 5, 5, 9)), frame("b.jpg", CAR)]
    out = stage(tmp_path, TWO, frames, labels={"warn_rejected_share": 0.4})
    assert checks(out)["rejected_share"].passed


def test_a_balanced_limit_sees_the_classes_of_each_image(tmp_path: Path) -> None:
    images = {f"train/{number:02}.jpg": number for number in range(40)} | {"val/v.jpg": 99}
    classes = {f"{number:02}.jpg": "bus" if number % 20 == 0 else "car" for number in range(40)} | {"v.jpg": "car"}
    ignored = area("bus", SQUARE, id="i", attributes={"ignored": True})
    frames = [frame(name, area(its, SQUARE), *[ignored] * (its == "car")) for name, its in classes.items()]
    data = folder_with(tmp_path / "data", images, {"l.json": frames})
    kept = Counter[str]()
    for seed in range(5):
        dataset = {"split": "path", "limit": {"train": 8}, "balance": 1.0}
        made = recipe_of([data], [data], seed=seed, dataset=dataset, labels={"categories": []})
        out = filtered(made, tmp_path / f"work {seed}")
        kept.update(row["category"] for row in table(out, "labels") if row["split"] == "train" and not row["ignored"])
    assert kept.total() == 40
    assert kept["bus"] >= 4  # 2 of 40 hold one: 2 of 40 drawn alike, 6 or so in proportion to sqrt(1 / 0.05)
