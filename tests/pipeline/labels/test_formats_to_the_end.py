"""Label files of every format through all stages up to filtered labels."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import labels
from pipeline.errors import EmptyDatasetError
from pipeline.instances.reasons import OTHER_SIZE, TURNED
from pipeline.sources import raw_images, raw_labels
from tests.pipeline.formats.test_bitmasks import CAR, SOUND, TRUCK, at, drawn, encoded
from tests.pipeline.formats.test_coco import TRIANGLE, coco
from tests.pipeline.formats.test_real_files_mutated import BYTES, mutation, refused, renamed
from tests.pipeline.label_texts import REAL
from tests.pipeline.labelled_folders import (
    HEIGHT,
    SQUARE,
    WIDTH,
    area,
    filtered,
    folder_with,
    frame,
    reasons,
    recipe_of,
    table,
)
from tests.pipeline.small_sources import zip_of

SPLITS = ["train/a.jpg", "val/b.jpg"]
CARS = {
    "bitmasks/train/a.png": drawn((CAR, 2, 1, at(10, 10, 20, 20)), (TRUCK, 0, 2, at(30, 30, 40, 40))),
    "bitmasks/val/b.png": drawn((CAR, 0, 1, at(0, 0, 9, 9))),
}


def bitmasks(**changed: Any) -> dict[str, bytes]:
    return {path: encoded(pixels) for path, pixels in (CARS | changed).items()}


def rows_of(out: Path) -> list[tuple[Any, ...]]:
    keys = ("split", "image", "category", "instance_id", "crowd", "geometry")
    return [tuple(row[key] for key in keys) for row in table(out, "labels")]


EXPECTED = [("train", "a.jpg", "car", "1", True, "bitmask"), ("val", "b.jpg", "car", "1", False, "bitmask")]


def test_a_folder_of_bitmasks_goes_through_the_stage(tmp_path: Path) -> None:
    images = folder_with(tmp_path / "images", SPLITS, {})
    given_labels = folder_with(tmp_path / "ins_seg", [], bitmasks())
    out = filtered(recipe_of([images], [given_labels], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert table(out, "labels")[0]["box"] == {"x": 10, "y": 10, "width": 10, "height": 10}
    assert reasons(out) == []


def test_a_zip_of_bitmasks_goes_through_the_stage(tmp_path: Path) -> None:
    images = folder_with(tmp_path / "images", SPLITS, {})
    members = {f"bdd100k/labels/ins_seg/{path}": content for path, content in bitmasks().items()}
    members["bdd100k/labels/ins_seg/colormaps/val/b.png"] = SOUND
    archive = zip_of(tmp_path / "bdd100k_ins_seg_labels_trainval.zip", members)
    out = filtered(recipe_of([images], [archive], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert reasons(out) == []


def test_a_bitmask_of_another_size_than_its_image_is_set_aside(tmp_path: Path) -> None:
    """Its outlines would lie beside the objects."""
    small = drawn((CAR, 0, 5, at(0, 0, 9, 9)), height=HEIGHT // 2, width=WIDTH // 2)
    images = folder_with(tmp_path / "images", [*SPLITS, "train/c.jpg"], {})
    given_labels = folder_with(tmp_path / "ins_seg", [], bitmasks(**{"bitmasks/train/c.png": small}))
    out = filtered(recipe_of([images], [given_labels], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert ("c.png", "made for an image of another size") in reasons(out)
    (row,) = [row for row in table(out, "rejected") if row["image"] == "c.png"]
    (label,) = json.loads(row["label"])["labels"]
    assert (label["id"], label["category"], label["geometry"]) == ("5", "car", "bitmask")
    assert label["rings"]


def test_a_damaged_bitmask_among_others_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    images = folder_with(tmp_path / "images", [*SPLITS, "train/c.jpg"], {})
    given_labels = folder_with(tmp_path / "ins_seg", [], bitmasks() | {"bitmasks/train/c.png": SOUND[:-20]})
    out = filtered(recipe_of([images], [given_labels], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert "not a label file" in [reason for _, reason in reasons(out)]


@pytest.mark.parametrize(
    ("sides", "reason"),
    [((64, 48), ""), ((64.0, 48), ""), ((0, 48), ""), ((640, 480), OTHER_SIZE), ((48, 64), TURNED)],
)
def test_polygons_made_for_an_image_of_another_size_are_left_out(
    tmp_path: Path, sides: tuple[float, float], reason: str
) -> None:
    images = [{"id": at, "file_name": f"{name}.jpg"} for at, name in ((7, "a"), (8, "b"))]
    images[0] |= dict(zip(("width", "height"), sides, strict=True))
    given = coco({"segmentation": [TRIANGLE]}, {"segmentation": [TRIANGLE], "image_id": 8}, images=images)
    data = folder_with(tmp_path / "data", ["a.jpg", "b.jpg", "c.jpg"], {"l.json": given})
    (data / "more.json").write_text(json.dumps([frame("c.jpg", area("car", SQUARE))]))
    sections = {"labels": {"coco": True}, "dataset": {"split": "all_in_both"}}
    out = filtered(recipe_of([data], [data / "l.json", data / "more.json"], **sections), tmp_path / "out")
    kept = {row["image"] for row in table(out, "labels")}
    assert kept == {"b.jpg", "c.jpg"} | (set() if reason else {"a.jpg"})
    rejected = [row["reason"] for row in table(out, "rejected") if row["image"] == "a.jpg"]
    assert rejected == ([reason, "no labels for this image"] if reason else [])


def test_a_coco_file_goes_through_the_stage_and_what_is_of_no_image_is_in_rejected(tmp_path: Path) -> None:
    content = coco(
        {"segmentation": [[10, 10, 20, 10, 20, 20]]},
        {"segmentation": [[10, 10, 20, 10, 20, 20]], "image_id": 8, "iscrowd": 1},
        {"segmentation": [[10, 10, 20, 10, 20, 20]], "image_id": 99},
        images=[{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
    )
    data = folder_with(tmp_path / "data", ["train/a.jpg", "val/b.jpg"], {"instances.json": content})
    out = filtered(recipe_of([data], [data], labels={"categories": [], "coco": True}), tmp_path / "work")
    assert [(row["image"], row["category"], row["crowd"]) for row in table(out, "labels")] == [
        ("a.jpg", "car", False),
        ("b.jpg", "car", True),
    ]
    (row,) = [row for row in table(out, "rejected") if row["label_id"]]
    assert (row["source"], row["label_id"], row["reason"]) == ("instances.json", "12", "no image has its image_id")
    assert json.loads(row["label"])["image_id"] == 99


SOURCES = {
    "bdd/seg_track_20/00091078-875c1f73.json": "bdd/seg_track_20",
    "bdd/ins_seg_10k/det+ins_seg.json": "bdd/ins_seg_10k",
    "bdd/det_20/det_20_det_train.json": "bdd/det_20",
    "via/oxvgg_official/via2_demo_annotations.json": "via/oxvgg_official",
    "via/tzelalouzeir_rice_via1/val/via_region_data.json": "via/tzelalouzeir_rice_via1/val",
    "via/nicolasmetallo_car-damage/dataset/val/via_region_data.json": "via/nicolasmetallo_car-damage/dataset/val",
}


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("file", SOURCES)
@given(data=st.data())
def test_every_label_is_a_row_of_the_labels_or_of_the_rejected(
    tmp_path_factory: pytest.TempPathFactory, file: str, data: st.DataObject
) -> None:
    work = tmp_path_factory.mktemp("mutated")
    text, count = mutation(file, data)
    is_renamed = data.draw(st.booleans()) and not any(value in text for value in BYTES)
    text = renamed(text, data) if is_renamed else text
    path = work / "labels.json"
    path.write_bytes(text)
    made = recipe_of([REAL / SOURCES[file]], [path], labels={"categories": []}, dataset={"split": "all_in_both"})
    folders = [work / name for name in ("raw_images", "raw_labels", "filtered_labels")]
    for folder in folders:
        folder.mkdir()
    raw_images.build(made, folders[0], work / "downloads")
    if refused(text, lambda: raw_labels.build(made, folders[1], work / "downloads")):
        return
    try:
        labels.build(made, folders[1], folders[0], folders[2])
    except EmptyDatasetError:  # of the few images that a file has, none keeps a label
        assert is_renamed
        return
    kept = Counter(row["split"] for row in table(folders[2], "labels"))
    assert kept["train"] == kept["val"]
    rejected = table(folders[2], "rejected")
    assert kept["train"] + sum(labels_in(row["label"]) for row in rejected) == count
    assert all(row["source"] and row["reason"] for row in rejected if labels_in(row["label"]))


def labels_in(label: str) -> int:
    """How many labels a row of rejected.parquet holds: one, or those of a whole image."""
    told = json.loads(label)
    return len(told["labels"]) if isinstance(told, dict) and set(told) == {"labels"} else 1


def test_labelme_s_files_beside_their_pictures(tmp_path: Path) -> None:
    shape = {"label": "dent", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    files = {f"{name}.json": {"imagePath": f"{name}.jpg", "shapes": [shape]} for name in ("train/a", "val/b")}
    data = folder_with(tmp_path / "data", ["train/a.jpg", "val/b.jpg"], files)
    out = filtered(recipe_of([data], [data], labels={"categories": []}), tmp_path / "work")
    assert [(row["image"], row["split"], row["category"]) for row in table(out, "labels")] == [
        ("a.jpg", "train", "dent"),
        ("b.jpg", "val", "dent"),
    ]


def test_maps_of_drivable_areas_are_found_by_their_names(tmp_path: Path) -> None:
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    grey[20:, :30] = 1
    files = {f"labels/{split}/{name}_drivable_id.png": encoded(grey) for split, name in (("train", "a"), ("val", "b"))}
    data = folder_with(tmp_path / "data", SPLITS, files | {"labels/train/a_drivable_color.png": encoded(grey)})
    made = recipe_of([data / "train", data / "val"], [data / "labels"], labels={"categories": ["drivable area"]})
    out = filtered(made, tmp_path / "work")
    assert [(row["image"], row["category"], row["source_category"]) for row in table(out, "labels")] == [
        ("a.jpg", "drivable area", "direct"),
        ("b.jpg", "drivable area", "direct"),
    ]
