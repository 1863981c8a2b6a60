"""Scalabel's JSON, read back by our own reader of BDD100K's labels."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.dataset.export import export
from pipeline.dataset.images_zip import ImagesZip
from tests.pipeline.dataset.export.archives import every_kind, of_sample
from tests.pipeline.formats.label_rows import Image, images_of


def read(folder: Path, split: str = "train") -> list[Image]:
    return images_of(folder / "labels" / f"ins_seg_{split}.json")


@pytest.mark.parametrize("make", [every_kind, of_sample])
def test_reading_gives_back_the_instances_of_the_archive(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    archive = make(tmp_path)
    export(archive, "bdd", tmp_path / "out")
    with ImagesZip(archive) as images:
        for split in images.splits:
            for record, image in zip(images.records(split), read(tmp_path / "out", split), strict=True):
                assert image.name == record.image
                assert (tmp_path / "out/images" / split / image.name).read_bytes() == images.read(record)
                for instance, label in zip(record.instances, image.labels, strict=True):
                    assert (label.category, label.geometry) == (instance.category, instance.geometry)
                    assert (label.crowd, label.ignored) == (instance.crowd, instance.ignored)
                    for ring, given in zip(label.rings, instance.rings, strict=True):
                        # Vertices are rounded when BDD's labels are read, as its toolkit does.
                        assert abs(ring - given).max() <= 0.5


def test_polygons_of_whole_pixels_are_read_back_as_they_are(tmp_path: Path) -> None:
    export(every_kind(tmp_path), "bdd", tmp_path / "out", labels_only=True)
    (label,) = next(each.labels for each in read(tmp_path / "out") if each.name == "overlapping.jpg")
    assert [ring.tolist() for ring in label.rings] == [
        [[10, 10], [40, 10], [40, 30], [10, 30]],
        [[20, 20], [50, 20], [50, 60], [20, 60]],
    ]


def test_attributes_and_videos_are_kept(tmp_path: Path) -> None:
    given = {"weather": "rainy", "video": "ride 3", "attributes": '{"lanes": 2}'}
    export(every_kind(tmp_path, plain={"file_attributes": given}), "bdd", tmp_path / "out", labels_only=True)
    image = next(each for each in read(tmp_path / "out") if each.name == "plain.jpg")
    assert (image.video, image.attributes) == ("ride 3", {"weather": "rainy", "lanes": 2})
    (label,) = image.labels
    assert (label.attributes, label.occluded, label.truncated) == ({"colour": "red", "doors": 4}, True, None)
