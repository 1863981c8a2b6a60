"""Which labels of an image count, where several files have some, or one more than once, and what becomes of others."""

import json
from collections import Counter
from pathlib import Path

from pipeline.artifacts import summary
from pipeline.instances.reasons import BOX_WITHOUT_AREA, TOO_SMALL
from pipeline.labels.summary import WHICH_COUNTS
from tests.pipeline.labelled_folders import CAR, SQUARE, WIDTH, area, box, frame, reasons, stage, table
from tests.pipeline.small_datasets import entry, square

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
