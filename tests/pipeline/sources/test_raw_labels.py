"""Which label files the sources hold: what is listed, in which order, and what is passed over."""

import errno
import json
import os
from unittest.mock import Mock

import pytest

from pipeline.errors import SourceError
from pipeline.files import digests
from pipeline.labels.files import read_sources
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


@pytest.mark.parametrize("named", ["bitmasks", "bitmasks/train", "bitmasks/train/video"])
def test_a_folder_of_bitmasks_may_be_the_source_itself(tmp_path, named):
    folder = folder_of(tmp_path / "seg_track_20", {"bitmasks/train/video/1.png": png()})
    (source,) = sources(listed_labels(tmp_path / "raw", folder / named))
    assert [file["path"] for file in source["files"]] == [str(folder / "bitmasks/train/video/1.png")]


def test_pictures_further_below_a_folder_called_bitmasks_are_no_labels(tmp_path):
    folder = folder_of(tmp_path / "bitmasks/of/last/trip", {"a.json": b"[]", "1.png": png()})
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert (len(source["files"]), source["skipped"]) == (1, [])


def test_json_without_labels_does_not_stand_for_bitmasks(tmp_path):
    files = {"bitmasks/val/1.png": png(), "a/config.json": b'{"lines": 3}', "z.json": b'{"lines": 4}'}
    folder, archive = folder_of(tmp_path / "ins_seg", files), zip_of(tmp_path / "ins_seg.zip", files)
    of_folder, of_archive = sources(listed_labels(tmp_path / "raw", folder, archive))
    assert [file["member"] for file in of_archive["files"]] == ["a/config.json", "bitmasks/val/1.png", "z.json"]
    assert [file["path"] for file in of_folder["files"]] == [
        str(folder / file["member"]) for file in of_archive["files"]
    ]
    assert of_folder["skipped"] == of_archive["skipped"] == []


@pytest.mark.parametrize("content", [b'[{"name": "1.jpg", "labels": []}]', b'[{"name": "1.jp'])
def test_json_with_labels_does_even_if_it_is_cut_short(tmp_path, content):
    folder = folder_of(tmp_path / "ins_seg", {"bitmasks/val/1.png": png(), "a.json": b"3", "b.json": content})
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert source["skipped"] == ["bitmasks/val/1.png"]


def test_an_entry_that_comes_twice_counts_where_it_comes_last(tmp_path):
    names = [folder_of(tmp_path / name, {"l.json": b"[]"}) for name in ("mine", "theirs")]
    listed = sources(listed_labels(tmp_path / "raw", names[0], names[1], names[0]))
    assert [source["source"] for source in listed] == [str(names[1]), str(names[0])]


@pytest.mark.parametrize("path", [b"l\xe9.json", b"t\xe9l\xe9/l.json"])
def test_a_path_that_is_not_utf_8_is_named(tmp_path, path):
    file = os.path.join(os.fsencode(tmp_path), b"labels", path)
    os.makedirs(os.path.dirname(file))
    with open(file, "wb") as opened:
        opened.write(b"[]")
    with pytest.raises(SourceError, match=r"\\udce9.*: this path is not UTF-8; rename the file or folder"):
        listed_labels(tmp_path / "raw", tmp_path / "labels")
    (tmp_path / "link.json").symlink_to(os.fsdecode(file))
    with pytest.raises(SourceError, match="is not UTF-8"):
        listed_labels(tmp_path / "raw2", tmp_path / "link.json")


def test_a_file_that_is_passed_over_may_have_any_name(tmp_path):
    folder = folder_of(tmp_path / "labels", {"via_region_data.json": b"{}"})
    with open(os.path.join(os.fsencode(folder), b"pr\xe9cis.json"), "wb") as opened:
        opened.write(b"{}")
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert source["skipped"] == [r"pr\udce9cis.json"]


def test_a_label_file_that_can_t_be_read_is_named(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "labels", {"l.json": b"[]"})

    def refused(paths):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(paths[0]))

    monkeypatch.setattr(digests, "digests", refused)
    with pytest.raises(SourceError, match=r"source\.labels: .*l\.json can't be read: Permission denied"):
        listed_labels(tmp_path / "raw", folder)


@pytest.mark.parametrize("change", ["content", "gone", "a folder", "refused"])
def test_label_files_that_are_not_those_listed_are_named(tmp_path, monkeypatch, change):
    folder = folder_of(tmp_path / "labels", {"a.json": b"[]", "b.json": b"[]"})
    listed = listed_labels(tmp_path / "raw", folder, zip_of(tmp_path / "more.zip", {"c.json": b"[]"}))
    assert [len(source.files) for source in read_sources(listed)] == [2, 1]
    if change == "content":
        (folder / "b.json").write_bytes(b"{}")
        said = r"b\.json has changed since raw_labels listed it; materialise raw_labels again"
    elif change in ("gone", "a folder"):
        (folder / "b.json").unlink()
        if change == "a folder":
            (folder / "b.json").mkdir()
        said = r"b\.json is gone since raw_labels listed it; materialise raw_labels again"
    else:
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder / "b.json"))
        monkeypatch.setattr(digests, "digests", Mock(side_effect=denied))
        said = r"b\.json can't be read: Permission denied"
    with pytest.raises(SourceError, match=said):
        read_sources(listed)


def test_label_files_may_be_replaced_by_equal_ones(tmp_path):
    folder = folder_of(tmp_path / "labels", {"a.json": b"[]"})
    listed = listed_labels(tmp_path / "raw", folder)
    (folder / "a.json").unlink()
    folder_of(folder, {"a.json": b"[]"})
    assert len(read_sources(listed)) == 1


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
