"""Crowd and ignored, however a format says them, reach training and evaluation: from label files to `images.zip`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn.shapes.masks import extract_bboxes
from mrcnn.shapes.polygons import mask as filled
from pipeline import dataset
from pipeline.dataset.images_zip import ImagesZip
from pipeline.training.data import ZipDataset
from tests.pipeline.evaluation.test_evaluation import evaluate
from tests.pipeline.formats.test_bitmasks import CAR, at, drawn, encoded
from tests.pipeline.labelled_folders import HEIGHT, WIDTH, area, filtered, folder_with, frame, recipe_of, table, via_of
from tests.pipeline.small_datasets import entry

FIRST, SECOND, THIRD = (4, 4, 14, 14), (20, 4, 36, 20), (40, 20, 60, 40)
"""Left, top, right, bottom of three cars: one to learn and to find, a crowd, and one to be ignored."""

Corners = tuple[int, int, int, int]


def corners(box: Corners) -> list[tuple[float, float]]:
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def run_lengths(box: Corners) -> dict[str, Any]:
    """The mask of a rectangle as COCO's compressed run lengths."""
    from faster_coco_eval import mask

    pixels = filled([np.array(corners(box), float)], HEIGHT, WIDTH)
    rle = mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"counts": rle["counts"].decode(), "size": [HEIGHT, WIDTH]}


def polygons() -> Any:
    """Scalabel 2020, of polygons."""
    cars = [
        area("car", corners(FIRST)),
        area("car", corners(SECOND), attributes={"crowd": True}),
        area("car", corners(THIRD), attributes={"ignored": True}),
    ]
    return [frame("a.jpg", *cars)]


def wrapped() -> Any:
    return {"frames": polygons(), "config": {}}


def only_run_lengths() -> Any:
    flags: list[dict[str, bool]] = [{}, {"crowd": True}, {"ignored": True}]
    boxes = (FIRST, SECOND, THIRD)
    cars = [
        {"category": "car", "rle": run_lengths(box), "attributes": its} for box, its in zip(boxes, flags, strict=True)
    ]
    return [frame("a.jpg", *cars)]


def one_image() -> Any:
    """2018, a file an image."""
    flags: list[dict[str, bool]] = [{}, {"crowd": True}, {"ignored": True}]
    objects = [
        {"category": "car", "id": number, "poly2d": [[x, y, "L"] for x, y in corners(box)], "attributes": its}
        for number, (box, its) in enumerate(zip((FIRST, SECOND, THIRD), flags, strict=True))
    ]
    return {"name": "a", "attributes": {}, "frames": [{"timestamp": 10000, "objects": objects}]}


def coco() -> Any:
    """COCO knows crowds, and tools that write its files say the rest as attributes."""
    outlines = [[value for point in corners(box) for value in point] for box in (FIRST, SECOND, THIRD)]
    said: list[dict[str, Any]] = [{"iscrowd": 0}, {"iscrowd": 1}, {"iscrowd": 0, "attributes": {"ignored": True}}]
    annotations = [
        {"id": number, "image_id": 1, "category_id": 3, "segmentation": [outline], **its}
        for number, (outline, its) in enumerate(zip(outlines, said, strict=True), start=1)
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}]
    return {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "car"}]}


def via_regions() -> list[dict[str, Any]]:
    flags: list[dict[str, str]] = [{}, {"crowd": "true"}, {"ignored": "true"}]
    return [
        {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": [x for x, _ in corners(box)],
                "all_points_y": [y for _, y in corners(box)],
            },
            "region_attributes": {"name": "car", **its},
        }
        for box, its in zip((FIRST, SECOND, THIRD), flags, strict=True)
    ]


def via_1() -> Any:
    return {"a.jpg9": entry("a.jpg", {str(number): region for number, region in enumerate(via_regions())})}


def via_2() -> Any:
    return {"a.jpg9": entry("a.jpg", via_regions())}


def via_project() -> Any:
    return {"_via_settings": {}, "_via_img_metadata": via_2(), "_via_attributes": {"region": {}, "file": {}}}


def via_3() -> Any:
    flags: list[dict[str, str]] = [{}, {"2": "true"}, {"3": "true"}]
    outlines = [[7, *(value for point in corners(box) for value in point)] for box in (FIRST, SECOND, THIRD)]
    metadata = {
        f"1_{number}": {"vid": "1", "z": [], "xy": outline, "av": {"1": "car", **its}}
        for number, (outline, its) in enumerate(zip(outlines, flags, strict=True))
    }
    names = ("name", "crowd", "ignored")
    return {
        "project": {"pid": "x", "data_format_version": "3.1.1"},
        "attribute": {str(n): {"aname": name, "type": 1, "options": {}} for n, name in enumerate(names, start=1)},
        "file": {"1": {"fid": 1, "fname": "a.jpg", "type": 2}},
        "metadata": metadata,
        "view": {"1": {"fid_list": ["1"]}},
    }


def bitmask() -> bytes:
    """Green's bit 1 is a crowd's, bit 0 an ignored one's."""
    segments = [
        (CAR, flags, number, at(*box)) for number, (flags, box) in enumerate([(0, FIRST), (2, SECOND), (1, THIRD)], 1)
    ]
    return encoded(drawn(*segments))


FORMATS = [polygons, wrapped, only_run_lengths, one_image, coco, via_1, via_2, via_project, via_3, bitmask]


@pytest.mark.parametrize("written", FORMATS, ids=lambda written: written.__name__)
def test_crowds_and_ignored_ones_are_neither_learnt_nor_judged(tmp_path: Path, written: Any) -> None:
    path = "bitmasks/a.png" if written is bitmask else "labels.json"
    source = folder_with(tmp_path / "source", ["pictures/a.jpg"], {path: written()})
    made = recipe_of(
        [source / "pictures"],
        [source if written is bitmask else source / path],
        labels={"categories": ["car"], "coco": written is coco},
        dataset={"split": "all_in_both"},
    )
    folder = filtered(made, tmp_path / "stages")
    rows = [row for row in table(folder, "labels") if row["split"] == "val"]
    rows.sort(key=lambda row: row["box"]["x"])
    assert [(row["crowd"], row["ignored"]) for row in rows] == [(False, False), (True, False), (False, True)]
    out = tmp_path / "dataset_zip"
    out.mkdir()
    via_folders = [via_of(made, folder, split) for split in ("train", "val")]
    dataset.build(made, folder, *via_folders, tmp_path / "stages/raw_images", out)
    assert_not_learnt(out / "images.zip")
    assert_not_judged(tmp_path / "report", out / "images.zip")


def assert_not_learnt(archive: Path) -> None:
    """A negative class number is a crowd's, from which the network takes neither objects nor background."""
    with ImagesZip(archive) as opened:
        masks, class_ids = ZipDataset(opened, "train", ["car"]).load_mask(0)
    boxes = extract_bboxes(masks)[:, [1, 0, 3, 2]]
    from_the_left = np.argsort(boxes[:, 0])
    assert class_ids[from_the_left].tolist() == [1, -1, -1]
    assert np.abs(boxes[from_the_left] - [FIRST, SECOND, THIRD]).max() <= 1


def assert_not_judged(folder: Path, archive: Path) -> None:
    """Whoever finds the one, half the crowd and the ignored one is right once and never wrong."""
    folder.mkdir()
    finds = [(1, 0.7, *FIRST[:2], 10), (1, 0.9, SECOND[0], SECOND[1], 11), (1, 0.8, *THIRD[:2], 20)]
    out, _ = evaluate(folder, archive, lambda _: finds)
    metrics = json.loads((out / "metrics.json").read_text())
    for kind in ("segm", "bbox"):
        assert (
            metrics[kind]["per_class"]["car"] | {"AP": 1, "AP50": 1, "instances": 1}
            == metrics[kind]["per_class"]["car"]
        )
    ground_truth = json.loads((out / "coco_ground_truth.json").read_text())["annotations"]
    assert [each["iscrowd"] for each in sorted(ground_truth, key=lambda each: each["bbox"])] == [0, 1, 1]
