"""COCO files as pycocotools reads them, beside the archive that they were made of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from mrcnn.shapes.polygons import mask
from pipeline.dataset.export import export
from pipeline.dataset.images_zip import ImagesZip
from pipeline.geometry.polygon import filled_area
from tests.pipeline.dataset.export.archives import HEIGHT, WIDTH, differs_at_the_border_only, every_kind, of_sample
from tests.pipeline.formats.label_rows import images_of
from tests.pipeline.small_datasets import jpeg


def read(folder: Path, split: str = "train") -> COCO:
    return COCO(str(folder / "annotations" / f"instances_{split}.json"))


@pytest.fixture
def coco(tmp_path: Path) -> COCO:
    export(every_kind(tmp_path), "coco", tmp_path / "out")
    return read(tmp_path / "out")


def only(coco: COCO, name: str) -> dict[str, Any]:
    (number,) = (each["id"] for each in coco.dataset["images"] if each["file_name"] == f"{name}.jpg")
    (annotation,) = coco.loadAnns(coco.getAnnIds(number))
    return annotation


def test_pictures_of_each_split_lie_in_its_folder(coco: COCO, tmp_path: Path) -> None:
    names = {each["file_name"] for each in coco.imgs.values()}
    assert {path.name for path in (tmp_path / "out/train").iterdir()} == names
    assert (tmp_path / "out/val/v.jpg").read_bytes() == jpeg(WIDTH, HEIGHT)
    (image,) = read(tmp_path / "out", "val").imgs.values()
    assert (image["id"], image["width"], image["height"]) == (len(names) + 1, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("name", "area", "box", "polygons"),
    [
        ("plain", 1600, [10, 20, 40, 40], 1),
        ("parts", 400 + 900, [5, 5, 85, 65], 2),
        ("overlapping", 600 + 1200 - 200, [10, 10, 40, 50], 2),
        ("beyond", 20 * 20, [140, 70, 20, 20], 1),
        ("box", 3000, [3, 4, 50, 60], 1),
    ],
)
def test_an_instance_is_one_annotation_with_all_its_polygons(
    coco: COCO, name: str, area: float, box: list[float], polygons: int
) -> None:
    annotation = only(coco, name)
    assert (annotation["area"], annotation["bbox"], annotation["iscrowd"]) == (area, box, 0)
    assert len(annotation["segmentation"]) == polygons


@pytest.mark.parametrize(
    ("name", "place", "ignore"),
    [("crowd", (slice(30, 51), slice(30, 51)), None), ("ignored", (slice(60, 80), slice(100, 120)), 1)],
)
def test_crowds_and_regions_to_ignore_are_run_lengths_of_the_very_mask(
    coco: COCO, name: str, place: tuple[slice, slice], ignore: int | None
) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[place] = 1
    annotation = only(coco, name)
    assert (coco.annToMask(annotation) == expected).all()
    assert (annotation["iscrowd"], annotation.get("ignore"), annotation["area"]) == (1, ignore, expected.sum())


def test_what_lies_outside_is_left_out_and_counted(tmp_path: Path) -> None:
    exported = export(every_kind(tmp_path), "coco", tmp_path / "out", labels_only=True)
    counts = {count.name: number for count, number in exported.counts.items() if number}
    assert counts == {"WRITTEN": 9, "OUTSIDE": 1, "REGIONS": 2, "BOXES": 1}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["annotations"]


def test_attributes_are_kept_as_cvat_has_them(coco: COCO) -> None:
    assert only(coco, "plain")["attributes"] == {"colour": "red", "doors": 4, "occluded": True}


def test_our_own_reader_finds_the_same_instances(coco: COCO, tmp_path: Path) -> None:
    found = {image.name: image.labels for image in images_of(tmp_path / "out/annotations/instances_train.json")}
    assert [ring.tolist() for ring in found["parts.jpg"][0].rings] == [
        [[5, 5], [25, 5], [25, 25], [5, 25]],
        [[60, 40], [90, 40], [90, 70], [60, 70]],
    ]
    regions = [(each.crowd, each.ignored) for each in (*found["crowd.jpg"], *found["ignored.jpg"])]
    assert regions == [(True, False), (True, True)]
    assert found["plain.jpg"][0].occluded is True


@pytest.mark.parametrize("make", [every_kind, of_sample])
def test_pycocotools_reads_the_same_masks(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    archive = make(tmp_path)
    exported = export(archive, "coco", tmp_path / "out", labels_only=True)
    with ImagesZip(archive) as images:
        for split in images.splits:
            coco = read(tmp_path / "out", split)
            names = {each["name"]: number for number, each in coco.cats.items()}
            assert tuple(names) == exported.classes
            for record, (number, image) in zip(images.records(split), coco.imgs.items(), strict=True):
                assert image["file_name"] == record.image
                masks = [(each, mask(each.rings, record.height, record.width)) for each in record.instances]
                found = coco.loadAnns(coco.getAnnIds(number))
                for (instance, expected), annotation in zip(
                    [pair for pair in masks if pair[1].any()], found, strict=True
                ):
                    assert annotation["category_id"] == names[instance.category]
                    read_mask = coco.annToMask(annotation).astype(bool)
                    assert differs_at_the_border_only(read_mask, expected, *instance.rings)


def test_areas_are_those_of_the_polygons_of_the_sample(tmp_path: Path) -> None:
    archive = of_sample(tmp_path)
    export(archive, "coco", tmp_path / "out", labels_only=True)
    found = json.loads((tmp_path / "out/annotations/instances_val.json").read_text())["annotations"]
    with ImagesZip(archive) as images:
        rings = [each.rings for record in images.records("val") for each in record.instances]
    assert any(len(each) > 1 for each in rings)
    assert [each["area"] for each in found] == pytest.approx(list(map(filled_area, rings)), abs=0.01)
