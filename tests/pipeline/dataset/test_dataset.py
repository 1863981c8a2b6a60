"""images.zip: the layout of the 2019 notebooks, the bytes of the sources, the same bytes every time."""

import json
import os
import shutil
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import dataset, via
from pipeline.artifacts import summary
from pipeline.errors import ArtifactError, EmptyDatasetError
from pipeline.recipe import Recipe
from pipeline.sources.image_index import read_index
from tests.pipeline.small_sources import folder_of, index, jpeg, zip_of

IMAGES = {
    f"bdd100k/images/100k/{split}/{n}.jpg": jpeg(grey=10 * n) for split, n in [("train", 3), ("train", 1), ("val", 2)]
}


class Chain:
    """The inputs of `dataset_zip` in a folder: an index, VIA files of named images, and the table of splits."""

    def __init__(self, folder, source):
        self.folder = folder
        self.raw_images = index(folder / "raw", source)
        self.split("train", "3.jpg", "1.jpg")
        self.split("val", "2.jpg")
        self.filtered_labels = folder / "filtered"
        self.filtered_labels.mkdir()
        checks = [summary.Check("rejected_share", False, "half are gone"), summary.Check("splits_apart", True, "all")]
        summary.write(self.filtered_labels, summary.Summary(checks=checks))
        self.splits("train", "train", "val")

    def split(self, split, *images):
        entries = {f"{image}-1": {"filename": image, "size": -1, "regions": {}} for image in images}
        folder_of(self.folder / f"via_{split}", {"via_region_data.json": json.dumps(entries).encode()})

    def splits(self, *splits):
        pq.write_table(pa.table({"split": list(splits)}), self.filtered_labels / "images.parquet")

    def build(self, name="out"):
        out = self.folder / name
        out.mkdir()
        via_folders = (self.folder / "via_train", self.folder / "via_val")
        dataset.build(Recipe(), self.filtered_labels, *via_folders, self.raw_images, out)
        return out


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def chain(tmp_path, request):
    return Chain(tmp_path, zip_of(tmp_path / "source.zip", IMAGES, request.param))


def test_the_archive_holds_images_and_labels_by_split_in_order(chain):
    out = chain.build()
    with zipfile.ZipFile(out / "images.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "images/train/1.jpg",
            "images/train/3.jpg",
            "images/train/via_region_data.json",
            "images/val/2.jpg",
            "images/val/via_region_data.json",
        ]
        assert archive.read("images/train/3.jpg") == IMAGES["bdd100k/images/100k/train/3.jpg"]
        assert (
            archive.read("images/val/via_region_data.json")
            == (chain.folder / "via_val/via_region_data.json").read_bytes()
        )
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    said = summary.read(out)
    assert said.numbers["train_images"] == 2
    assert said.numbers["bytes"] == (out / "images.zip").stat().st_size
    assert said.tables[dataset.FAILED_BEFORE] == [{"check": "rejected_share", "description": "half are gone"}]


def test_the_same_inputs_give_the_same_bytes_elsewhere(chain, tmp_path):
    first = chain.build()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = Chain(elsewhere, zip_of(elsewhere / "repacked.zip", IMAGES)).build()
    assert (first / "images.zip").read_bytes() == (second / "images.zip").read_bytes()


def test_the_finished_archive_is_a_source_again(chain):
    out = chain.build()
    again = read_index(index(chain.folder / "again", out / "images.zip"))
    assert {name: image.split for name, image in again.items()} == {"1.jpg": "train", "3.jpg": "train", "2.jpg": "val"}


def test_an_image_in_both_splits_is_copied_into_both(chain):
    chain.split("val", "1.jpg", "2.jpg")
    with zipfile.ZipFile(chain.build() / "images.zip") as archive:
        assert archive.read("images/train/1.jpg") == archive.read("images/val/1.jpg")


def test_a_test_split_is_carried_along_with_its_own_via_file(chain, monkeypatch):
    def write_via(recipe, filtered_labels, split, out):
        entries = {"2.jpg-1": {"filename": "2.jpg"}}
        folder_of(out, {"via_region_data.json": json.dumps(entries).encode(), "via_project.json": b"{}"})
        assert split == "test"

    monkeypatch.setattr(via, "build", write_via)
    chain.splits("train", "val", "test")
    out = chain.build()
    assert "images/test/via_region_data.json" in zipfile.ZipFile(out / "images.zip").namelist()
    assert sorted(path.name for path in out.iterdir()) == ["images.zip", "summary.json"]


def test_an_image_that_the_index_lacks_is_refused_by_name(chain):
    chain.split("val", "2.jpg", "ghost.jpg")
    with pytest.raises(
        ArtifactError, match=r"names 1 images that raw_images does not hold \(the first is ghost\.jpg\)"
    ):
        chain.build()
    assert list((chain.folder / "out").iterdir()) == []


def test_an_empty_split_is_refused(chain):
    chain.split("val")
    with pytest.raises(EmptyDatasetError, match="the val split is empty"):
        chain.build()


def test_an_image_named_twice_is_refused(chain):
    entries = {"a": {"filename": "1.jpg"}, "b": {"filename": "1.jpg"}}
    folder_of(chain.folder / "via_train", {"via_region_data.json": json.dumps(entries).encode()})
    with pytest.raises(ArtifactError, match=r"names 1\.jpg twice"):
        chain.build()


def test_a_source_changed_since_it_was_indexed_is_noticed_and_leaves_nothing(tmp_path):
    folder = folder_of(tmp_path / "set", IMAGES)
    chain = Chain(tmp_path, folder)
    changed = folder / "bdd100k/images/100k/train/1.jpg"
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"1\.jpg has changed since it was indexed"):
        chain.build()
    assert list((tmp_path / "out").iterdir()) == []
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="materialise raw_images again"):
        chain.build("out2")


def test_an_error_that_the_disk_tells_only_once_is_not_lost(chain, monkeypatch):
    errors = [OSError(5, "Input/output error")]

    def sync(_):
        if errors:
            raise errors.pop()

    monkeypatch.setattr(dataset, "SYNCED_AT_ONCE", 1)
    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="Input/output error"):
        chain.build()
    assert list((chain.folder / "out").iterdir()) == []


def test_a_full_disk_leaves_no_partial_archive(chain, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(OSError, match="No space left"):
        chain.build()
    assert list((chain.folder / "out").iterdir()) == []


def test_an_archive_that_the_disk_cut_fails_its_check(chain):
    out = chain.build()
    check = summary.read(out).checks[0]
    assert (check.passed, check.numbers) == (True, {"images": 3, "damaged": 0})
    content = (out / "images.zip").read_bytes()
    (out / "images.zip").write_bytes(content[: len(content) // 2])
    index = read_index(chain.raw_images)
    damaged = dataset.archive_whole(out / "images.zip", {"train": [index["1.jpg"]]})
    assert not damaged.passed
    (out / "images.zip").write_bytes(content)
    other = dataset.archive_whole(out / "images.zip", {"train": [index["1.jpg"], index["2.jpg"]]})
    assert other.examples == [{"member": "images/train/2.jpg"}]
