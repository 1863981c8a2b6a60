"""Which labels of an image count, and what becomes of the others."""

import json
import zipfile
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import summary
from pipeline.instances.reasons import BOX_LEFT_OUT, BOX_WITHOUT_AREA, OUTSIDE, TOO_SMALL
from pipeline.labels import image_names
from pipeline.labels.merging import MergedLabels, merge
from pipeline.labels.rejections import Rejections
from pipeline.labels.summary.checks import WHICH_COUNTS
from pipeline.recipe.sections import Labels
from pipeline.sources.image_index import read_index_table
from pipeline.sources.label_files import read_sources
from tests.pipeline.labelled_folders import (
    CAR,
    SQUARE,
    WIDTH,
    area,
    box,
    filtered,
    folder_with,
    frame,
    reasons,
    recipe_of,
    stage,
    table,
)
from tests.pipeline.raw_tables import Row, box_label, region, ring_label, write_raw_images, write_raw_labels
from tests.pipeline.small_datasets import entry, square

IMAGES = ("a.jpg", "b.jpg")


def merged(folder: Path, *sources: Any, rejected: Any = (), **recipe: Any) -> tuple[MergedLabels, list[Row]]:
    """Return the merged labels, and the rows of rejected.parquet."""
    raw_labels = write_raw_labels(folder / "raw_labels", *sources, rejected=rejected)
    raw_images = write_raw_images(folder / "raw_images", IMAGES)
    index = read_index_table(raw_images)
    names = image_names(index, raw_images)
    with Rejections(folder / "rejected.parquet") as rejections:
        found = merge(Labels(**recipe), raw_labels, read_sources(raw_labels), index, names, rejections)
    return found, pq.read_table(folder / "rejected.parquet").to_pylist()


def kept(found: MergedLabels) -> list[dict[str, Any]]:
    return found.labels_of(list(found.images.values())).to_pylist()


def test_labels_are_chosen_by_category_and_kind(tmp_path: Path) -> None:
    labels = [
        ring_label(SQUARE, "drivable area", kind="direct"),
        ring_label(SQUARE, "drivable area", kind="alternative"),
        ring_label(SQUARE, "other vehicle"),
        ring_label(SQUARE, "bus"),
    ]
    found, rejected = merged(tmp_path, [("a.jpg", labels)], categories=["direct", "car"])
    assert [(row["category"], row["source_category"], row["ignored"]) for row in kept(found)] == [
        ("direct", "drivable area", False),
        ("car", "other vehicle", True),
    ]
    assert (found.selection.unwanted, rejected) == (Counter({"alternative": 1, "bus": 1}), [])


def test_a_line_becomes_an_area_along_it(tmp_path: Path) -> None:
    lane = ring_label([(0.0, 10.0), (10.0, 10.0)], "lane", kind="crosswalk", geometry="line")
    area = ring_label(SQUARE, "lane")
    found, _ = merged(tmp_path, [("a.jpg", [lane, area])], categories=["lane"])
    first, second = kept(found)
    corners = {(point["x"], point["y"]) for point in first["polygons"][0]}
    assert (corners, first["geometry"]) == ({(0, 8), (0, 12), (10, 12), (10, 8)}, "polygon")
    assert second["polygons"] == area["polygons"]


def test_what_reaches_over_the_border_ends_there_and_what_lies_outside_is_left_out(tmp_path: Path) -> None:
    rings = [[{"x": x + 50.0, "y": y} for x, y in SQUARE], [{"x": x, "y": y} for x, y in SQUARE]]
    both = ring_label([(x + 60, y) for x, y in SQUARE], label_id="2") | {"polygons": rings}
    labels = [box_label(50, 1, 80, 9), both, box_label(70, 1, 80, 9, label_id="3")]
    found, rejected = merged(tmp_path, [("a.jpg", labels)])
    first, second = kept(found)
    assert first["box"] == {"x": 50, "y": 1, "width": 14, "height": 8}
    assert second["box"] == {"x": 10, "y": 10, "width": 54, "height": 10}
    assert len(second["polygons"]) == 2
    assert [(row["label_id"], row["reason"]) for row in rejected] == [("3", OUTSIDE)]


def test_a_label_that_could_not_be_read_counts_by_its_category(tmp_path: Path) -> None:
    told = {"source": "0.json", "image": "a", "label_id": "7", "reason": "box without area", "label": "{}", "row": 0}
    rejected = [{**told, "category": category} for category in ("car", "bus", None)]
    rejected.append({**told, "attributes": '{"name":"bus"}'})
    rejected.append({**told, "row": None, "reason": "not a label file"})
    source = [("a.jpg", [region({"name": "car"})])]
    found, rows = merged(tmp_path, source, rejected=rejected, categories=["car"])
    assert [(row["image"], row["reason"]) for row in rows] == [
        ("a", "not a label file"),
        ("a.jpg", "box without area"),
        ("a.jpg", "box without area"),
    ]
    assert found.selection.unwanted == Counter(bus=2)


def test_boxes_that_the_recipe_leaves_out_do_not_stand_in_the_way_of_masks(tmp_path: Path) -> None:
    source = [("a.jpg", [box_label(1, 1, 9, 9)]), ("a.jpg", [ring_label(SQUARE)])]
    found, rejected = merged(tmp_path, source, boxes="leave_out")
    assert [row["geometry"] for row in kept(found)] == ["polygon"]
    assert [row["reason"] for row in rejected] == [BOX_LEFT_OUT]


places = st.sampled_from([-20.0, -3.0, 0.0, 5.5, 30.0, 47.0, 48.0, 60.0, 64.0, 70.0])
labels = st.one_of(
    st.builds(
        ring_label,
        st.lists(st.tuples(places, places), min_size=3, max_size=6).filter(lambda ring: len(set(ring)) > 2),
        st.sampled_from(["car", "bus", "other vehicle", "lane"]),
        geometry=st.sampled_from(["polygon", "line", "rle", "bitmask"]),
        occluded=st.none() | st.booleans(),
        mask_width=st.none() | st.just(64),
        mask_height=st.just(48),
    ),
    st.builds(lambda x, y: box_label(x, y, x + 6, y + 6), places, places),
    st.builds(
        lambda left, name, instance: region({"name": name, **instance}, left),
        st.sampled_from([0.0, 5.5, 30.0]),
        st.sampled_from(["car", "bus", ""]),
        st.sampled_from([{}, {"instance": "x"}, {"instance": "y"}]),
    ),
)
images = st.lists(st.tuples(st.sampled_from(["a.jpg", "b", "gone.jpg", ""]), st.lists(labels, max_size=5)), max_size=5)
recipes = st.fixed_dictionaries(
    {
        "categories": st.sampled_from([[], ["car"], ["car", "lane"]]),
        "boxes": st.sampled_from(["rectangles", "leave_out"]),
        "occluded": st.sampled_from(["keep", "leave_out", "ignore"]),
        "least_area": st.sampled_from([0, 40]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(images, min_size=1, max_size=3), recipes)
def test_every_label_is_kept_left_out_or_not_wanted(sources: Any, recipe: dict[str, Any]) -> None:
    """Regions that are parts of one instance count once each by their rings, all others have one."""
    with TemporaryDirectory() as name:
        found, rejected = merged(Path(name), *sources, **recipe)
    told = [json.loads(row["label"]) for row in rejected]
    in_images = [label for each in told for label in each.get("labels", ()) if "reason" not in label]
    alone = [each for each in told if "rings" in each]
    inside = [json.loads(label["label"]) for each in told for label in each.get("labels", ()) if "reason" in label]
    rings = sum(len(row["polygons"]) for row in kept(found))
    rings += sum(len(label["rings"]) for label in (*in_images, *alone, *inside))
    assert rings + found.selection.unwanted.total() == sum(len(its) for source in sources for _, its in source)
    assert all(row["box"]["x"] >= 0 and row["box"]["x"] + row["box"]["width"] <= 64 for row in kept(found))


TWO = ["train/a.jpg", "val/b.jpg"]


def test_a_later_source_replaces_all_labels_of_an_image(tmp_path: Path) -> None:
    first = [frame("a.jpg", CAR, CAR), frame("b.jpg", CAR)]
    corrected = {"b": entry("b.jpg", [square(1, 1, 5, "person"), square(9, 9, 5, "car")])}
    files = {"first.json": first, "corrected/via_region_data.json": corrected}
    sources = ("first.json", "corrected/via_region_data.json")
    out = stage(tmp_path, TWO, files, *sources, labels={"categories": []})
    assert [(row["image"], row["category"]) for row in table(out, "labels")] == [
        ("a.jpg", "car"),
        ("a.jpg", "car"),
        ("b.jpg", "pedestrian"),
        ("b.jpg", "car"),
    ]
    assert reasons(out) == [("b.jpg", "replaced by a later source")]
    (row,) = table(out, "rejected")
    (label,) = json.loads(row["label"])["labels"]
    assert (label["category"], label["rings"]) == ("car", [list(map(list, SQUARE))])
    assert summary.read(out).numbers["labels_left_out"] == 0


def test_of_an_image_named_twice_in_one_source_the_first_counts(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR), frame("b.jpg", CAR), frame("a.jpg", box("car", 1, 1, 9, 9)), frame("b", CAR)]
    out = stage(tmp_path, TWO, {"l.json": frames})
    assert [row["geometry"] for row in table(out, "labels")] == ["polygon", "polygon"]
    assert reasons(out) == [("a.jpg", "image named twice"), ("b", "image named twice with the same labels")]


def test_a_file_without_wanted_labels_of_an_image_leaves_it_to_the_next_one(tmp_path: Path) -> None:
    """Cars and drivable areas of 2020 come in files of their own; what else they say of the image stays the first's."""
    small = area("car", [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)], id="small")
    files = {
        "det_train.json": [
            frame("a.jpg", box("person", 1, 1, 9, 9), attributes={"weather": "rainy"}, videoName="v"),
            frame("b.jpg", small),
            frame("c.jpg"),
            frame("e.jpg", box("car", 9, 9, 9, 9), box("car", WIDTH + 5, 9, WIDTH + 20, 19)),
        ],
        "drivable_train.json": [
            frame("a.jpg", CAR, box("rider", 1, 1, 9, 9), attributes={"weather": "clear", "scene": "tunnel"}),
            frame("b.jpg", CAR),
            frame("c.jpg"),
            frame("e.jpg", CAR),
        ],
        "z_val.json": [frame("b.jpg", box("car", 1, 1, 9, 9)), frame("a.jpg"), frame("d.jpg", CAR)],
    }
    out = stage(
        tmp_path,
        ["a.jpg", "b.jpg", "c.jpg", "val/d.jpg", "e.jpg"],
        files,
        labels={"categories": ["car"], "least_area": 5},
    )
    assert [(row["image"], row["geometry"]) for row in table(out, "labels")] == [
        ("a.jpg", "polygon"),
        ("e.jpg", "polygon"),
        ("d.jpg", "polygon"),
    ]
    images = {row["image"]: row for row in table(out, "images")}
    assert {name: row["split"] for name, row in images.items()} == {
        "a.jpg": "train",
        "b.jpg": "train",
        "c.jpg": "train",
        "d.jpg": "val",
        "e.jpg": "train",
    }
    assert (images["a.jpg"]["video"], json.loads(images["a.jpg"]["attributes"])) == (
        "v",
        {"weather": "rainy", "scene": "tunnel"},
    )
    assert reasons(out) == [
        ("a.jpg", "image named twice"),
        ("b.jpg", "image named twice"),
        ("b.jpg", "image named twice"),
        ("b.jpg", TOO_SMALL),
        ("c.jpg", "image named twice with the same labels"),
        ("e.jpg", BOX_WITHOUT_AREA),
        ("e.jpg", "outside the image"),
    ]
    check = next(check for check in summary.read(out).checks if check.name == "rejected_share")
    assert check.numbers["share"] == 4 / 7
    assert check.description.endswith("3 times a source labels an image again, and otherwise: " + WHICH_COUNTS)


def test_labels_of_an_image_are_the_same_only_where_those_that_are_left_out_are_too(tmp_path: Path) -> None:
    flat, other = box("car", 9, 9, 9, 9, id="f"), box("car", 8, 8, 8, 8, id="f")
    files = {
        "1.json": [frame("a.jpg", CAR, flat), frame("b.jpg", CAR, flat)],
        "2.json": [frame("a.jpg", CAR, flat), frame("b.jpg", CAR, other)],
        # read one by one, not in blocks
        "3.json": [frame("a.jpg", CAR, flat | {"colour": "red"})],
        "4.json": frame("b.jpg", CAR, flat),
    }
    out = stage(tmp_path, TWO, files)
    assert Counter(reasons(out)) == {
        ("a.jpg", BOX_WITHOUT_AREA): 2,
        ("b.jpg", BOX_WITHOUT_AREA): 2,
        ("a.jpg", "image named twice with the same labels"): 1,
        ("a.jpg", "image named twice"): 1,
        ("b.jpg", "image named twice with the same labels"): 1,
        ("b.jpg", "image named twice"): 1,
    }


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = {
        f"l/{split}/labels.json": [frame(f"{split}.jpg", CAR, CAR | {"category": ""})] for split in ("train", "val")
    }
    out = stage(tmp_path, ["train.jpg", "val.jpg"], files, "l")
    assert [row["source"] for row in table(out, "labels")] == ["train/labels.json#0", "val/labels.json#0"]
    assert {row["source"] for row in table(out, "rejected")} == {"train/labels.json", "val/labels.json"}


@pytest.mark.parametrize("name", ["http://[a/c.jpg", "https://[::1/c.jpg", "x://\u2100/c.jpg"])
def test_an_address_that_is_none_is_a_name_like_any_other(tmp_path: Path, name: str) -> None:
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR), frame("b.jpg", CAR), frame(name, CAR)]})
    assert reasons(out) == [(name, "no such image")]


def test_of_a_name_that_an_archive_has_twice_the_last_file_counts_and_the_other_has_a_row(tmp_path: Path) -> None:
    data = folder_with(tmp_path / "data", TWO, {})
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr("l.json", json.dumps([frame("a.jpg", area("person", SQUARE))]))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("l.json", json.dumps([frame("a.jpg", CAR), frame("b.jpg", CAR)]))
    out = filtered(recipe_of([data], [tmp_path / "l.zip"]), tmp_path / "work")
    assert [row["category"] for row in table(out, "labels")] == ["car", "car"]
    (row,) = table(out, "rejected")
    assert (row["source"], row["reason"]) == (f"{tmp_path}/l.zip/l.json", "a name that comes again")
    assert "the last file counts" in row["label"]
