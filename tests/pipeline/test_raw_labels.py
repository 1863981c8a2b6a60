"""Which label files the sources hold: what is listed, in which order, and what is passed over."""

import json

import pytest

from pipeline.errors import SourceError
from tests.pipeline.small_sources import REAL, folder_of, jpeg, listed_labels, png, zip_of


def sources(folder):
    return json.loads((folder / "sources.json").read_text())["sources"]


def members(folder):
    return [[file["member"] or file["path"] for file in source["files"]] for source in sources(folder)]


def test_sources_keep_the_recipe_s_order_and_files_are_sorted_within(tmp_path):
    later = folder_of(tmp_path / "a_corrected", {"via_region_data.json": b"{}"})
    archive = zip_of(tmp_path / "z_release.zip", {"labels/val.json": b"[]", "labels/train.json": b"[]"})
    listed = listed_labels(tmp_path / "raw", archive, later)
    assert members(listed) == [["labels/train.json", "labels/val.json"], [str(later / "via_region_data.json")]]
    first = sources(listed)[0]["files"][0]
    assert first == {"path": str(archive), "member": "labels/train.json", "size": 2, "kind": "json"}


def test_a_file_named_by_a_person_is_a_label_file_whatever_its_name(tmp_path):
    folder_of(tmp_path, {"labels.txt": b"[]"})
    assert members(listed_labels(tmp_path / "raw", tmp_path / "labels.txt")) == [[str(tmp_path / "labels.txt")]]


def test_a_finished_images_zip_gives_its_via_files(tmp_path):
    archive = zip_of(
        tmp_path / "images.zip",
        {
            "images/train/1.jpg": jpeg(),
            "images/train/via_region_data.json": b"{}",
            "images/val/via_region_data.json": b"{}",
            "__MACOSX/images/val/._via_region_data.json": b"",
        },
    )
    assert members(listed_labels(tmp_path / "raw", archive)) == [
        ["images/train/via_region_data.json", "images/val/via_region_data.json"]
    ]


def test_members_with_backslashes_are_listed_as_their_archive_spells_them(tmp_path):
    archive = zip_of(
        tmp_path / "windows.zip", {"labels\\val\\via_region_data.json": b"{}", "labels\\val\\x.json": b"{}"}
    )
    listed = listed_labels(tmp_path / "raw", archive)
    assert members(listed) == [["labels\\val\\via_region_data.json"]]
    assert sources(listed)[0]["skipped"] == ["labels/val/x.json"]


def test_beside_a_via_region_data_only_that_counts_and_the_rest_is_told(tmp_path):
    folder = folder_of(
        tmp_path / "set", {"val/via_region_data.json": b"{}", "val/project.json": b"{}", "train/labels.json": b"{}"}
    )
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert [file["path"] for file in source["files"]] == [
        str(folder / "train/labels.json"),
        str(folder / "val/via_region_data.json"),
    ]
    assert source["skipped"] == ["val/project.json"]


def test_rles_are_passed_over_where_polygons_say_the_same(tmp_path):
    root = "bdd100k/labels/ins_seg"
    archive = zip_of(
        tmp_path / "ins_seg.zip",
        {
            f"{root}/rles/ins_seg_val.json": b"[]",
            f"{root}/polygons/ins_seg_val.json": b"[]",
            f"{root}/rles/only_rles.json": b"[]",
            f"{root}/bitmasks/val/1.png": png(),
            f"{root}/colormaps/val/1.png": png(),
        },
    )
    listed = listed_labels(tmp_path / "raw", archive)
    assert members(listed) == [[f"{root}/polygons/ins_seg_val.json", f"{root}/rles/only_rles.json"]]
    assert sources(listed)[0]["skipped"] == [f"{root}/bitmasks/val/1.png", f"{root}/rles/ins_seg_val.json"]


def test_rles_of_videos_are_passed_over_where_polygons_say_the_same(tmp_path):
    root = "bdd100k/labels/seg_track_20"
    names = [f"{root}/{kind}/{split}/v.json" for kind in ("polygons", "rles") for split in ("train", "val")]
    archive = zip_of(tmp_path / "seg_track.zip", {**dict.fromkeys(names, b"[]"), f"{root}/rles/val/other.json": b"[]"})
    listed = listed_labels(tmp_path / "raw", archive)
    assert members(listed) == [[*names[:2], f"{root}/rles/val/other.json"]]
    assert sources(listed)[0]["skipped"] == names[2:]


def test_bitmasks_count_where_no_json_does(tmp_path):
    folder = folder_of(tmp_path / "ins_seg", {"bitmasks/val/1.png": png(), "colormaps/val/1.png": png()})
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert [(file["path"], file["kind"]) for file in source["files"]] == [(str(folder / "bitmasks/val/1.png"), "png")]


def test_a_source_without_labels_is_named_with_its_key(tmp_path):
    folder = folder_of(tmp_path / "photos", {"1.jpg": jpeg(), ".hidden.json": b"{}"})
    with pytest.raises(SourceError, match=r"source\.labels: .*photos holds no label file"):
        listed_labels(tmp_path / "raw", folder)


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is absent")
def test_every_real_label_file_is_listed(tmp_path):
    listed = listed_labels(tmp_path / "raw", REAL / "bdd", REAL / "via/nicolasmetallo_car-damage/dataset/val")
    bdd, damage = sources(listed)
    assert len(bdd["files"]) == len(list((REAL / "bdd").rglob("*.json")))
    assert [file["path"].rpartition("/")[2] for file in damage["files"]] == ["via_region_data.json"]
    assert len(damage["skipped"]) == 3
