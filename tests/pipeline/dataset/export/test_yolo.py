"""YOLO's labels, read back by a parser of ten lines and filled by OpenCV, as ultralytics does both."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mrcnn.shapes.polygons import mask
from pipeline.dataset.export import export
from pipeline.dataset.export.exported import Count
from pipeline.dataset.images_zip import ImagesZip
from pipeline.geometry.polygon import filled_area
from tests.pipeline.dataset.export.archives import HEIGHT, WIDTH, differs_at_the_border_only, every_kind, of_sample


def read(file: Path, width: int, height: int) -> list[tuple[int, np.ndarray]]:
    """Return the class and the polygon, in pixels, of each line."""
    found = []
    for line in file.read_text().splitlines():
        number, *shares = line.split()
        assert len(shares) >= 6
        assert all(0 <= float(share) <= 1 for share in shares)
        found.append((int(number), np.array(shares, float).reshape(-1, 2) * (width, height)))
    return found


def filled(ring: np.ndarray, width: int, height: int) -> np.ndarray:
    image = np.zeros((height, width), np.uint8)
    cv2.fillPoly(image, [ring.astype(np.int32)], 1)
    return image.astype(bool)


def area(ring: np.ndarray) -> float:
    return cv2.contourArea(ring.astype(np.float32))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    export(every_kind(tmp_path), "yolo", tmp_path / "out")
    return tmp_path / "out"


def test_data_yaml_names_folders_and_classes(out: Path) -> None:
    assert yaml.safe_load((out / "data.yaml").read_text()) == {
        "path": str(out),
        "train": "images/train",
        "val": "images/val",
        "names": {0: "bus", 1: "car", 2: "person", 3: "sign"},
    }


def test_each_picture_has_a_file_of_labels_with_its_stem(out: Path) -> None:
    for split in ("train", "val"):
        stems = {path.stem for path in (out / "images" / split).iterdir()}
        assert {path.stem for path in (out / "labels" / split).iterdir()} == stems
    assert (out / "labels/val/v.txt").read_text() == ""


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("plain", [(1, 1600)]),
        ("parts", [(1, 400 + 900)]),
        ("overlapping", [(0, 600 + 1200 - 200)]),
        ("beyond", [(1, 400)]),
        *((name, []) for name in ("outside", "crowd", "ignored", "empty")),
    ],
)
def test_a_line_is_an_instance_whose_polygons_are_joined(out: Path, name: str, lines: list[tuple[int, float]]) -> None:
    found = read(out / f"labels/train/{name}.txt", WIDTH, HEIGHT)
    assert [(number, round(area(ring), 1)) for number, ring in found] == lines


def test_what_yolo_has_no_word_for_is_counted(tmp_path: Path) -> None:
    counts = export(every_kind(tmp_path), "yolo", tmp_path / "out", labels_only=True).counts
    assert [counts[each] for each in (Count.WRITTEN, Count.NO_REGIONS, Count.OUTSIDE)] == [7, 2, 1]


@pytest.mark.parametrize("make", [every_kind, of_sample])
def test_another_parser_reads_the_same_instances(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    archive = make(tmp_path)
    exported = export(archive, "yolo", tmp_path / "out", labels_only=True)
    of_several = 0
    with ImagesZip(archive) as images:
        for record in (record for split in images.splits for record in images.records(split)):
            width, height = record.width, record.height
            masks = [(each, mask(each.rings, height, width)) for each in record.instances]
            wanted = [(each, whole) for each, whole in masks if whole.any() and not (each.crowd or each.ignored)]
            lines = read(tmp_path / f"out/labels/{record.split}/{Path(record.image).stem}.txt", width, height)
            for (instance, whole), (number, ring) in zip(wanted, lines, strict=True):
                assert exported.classes[number] == instance.category
                assert differs_at_the_border_only(filled(ring, width, height), whole, ring)
                of_several += len(instance.rings) > 1
    assert of_several


def test_areas_are_those_of_the_polygons_of_the_sample(tmp_path: Path) -> None:
    archive = of_sample(tmp_path)
    export(archive, "yolo", tmp_path / "out", labels_only=True)
    with ImagesZip(archive) as images:
        for record in images.records("val"):
            lines = read(tmp_path / f"out/labels/val/{Path(record.image).stem}.txt", record.width, record.height)
            expected = [filled_area(each.rings) for each in record.instances]
            assert [area(ring) for _, ring in lines] == pytest.approx(expected, rel=1e-3, abs=0.5)
