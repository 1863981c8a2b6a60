"""Label files of the sources: which are listed and which passed over, and the tables of what they say."""

import json
import os

import pytest

from pipeline import formats, recipe
from pipeline.errors import LabelFileError, NotLabelsError, SourceError
from pipeline.formats import content, json_batches, table_builder
from pipeline.instances import reasons
from pipeline.instances.tables import RAW_IMAGES, RAW_LABELS, RAW_REJECTED
from pipeline.sources import raw_labels
from tests.pipeline.formats.test_coco import TRIANGLE, coco
from tests.pipeline.label_texts import polygon_label, via, via_region
from tests.pipeline.small_sources import REAL, folder_of, jpeg, listed_labels, png, zip_of
from tests.pipeline.small_sources import rows as rows_in


def sources(folder):
    return json.loads((folder / "sources.json").read_text())["sources"]


def built(out, *entries, **labels):
    """Build `raw_labels` from `entries`; return its images, labels and rejected as lists of rows."""
    out.mkdir()
    names = [str(entry) for entry in entries]
    chosen = recipe.parse({"source": {"images": names, "labels": names}, "labels": labels})
    raw_labels.build(chosen, out, out.parent / "downloads")
    return tuple(rows_in(out / f"{name}.parquet") for name in ("images", "labels", "rejected"))


def members(folder):
    return [[file["member"] or file["path"] for file in source["files"]] for source in sources(folder)]


def test_sources_keep_the_recipe_s_order_and_files_are_sorted_within(tmp_path):
    later = folder_of(tmp_path / "a_corrected", {"via_region_data.json": b"{}"})
    archive = zip_of(tmp_path / "z_release.zip", {"labels/val.json": b"[]", "labels/train.json": b"[]"})
    listed = listed_labels(tmp_path / "raw", archive, later)
    assert members(listed) == [["labels/train.json", "labels/val.json"], [str(later / "via_region_data.json")]]
    first = sources(listed)[0]["files"][0]
    assert first == {
        "path": str(archive),
        "member": "labels/train.json",
        "size": 2,
        "name": "z_release.zip/labels/train.json",
        "options": {},
    }


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


def test_beside_a_via_region_data_only_that_counts_and_the_rest_is_listed(tmp_path):
    folder = folder_of(
        tmp_path / "set", {"val/via_region_data.json": b"{}", "val/project.json": b"{}", "train/labels.json": b"{}"}
    )
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert [file["path"] for file in source["files"]] == [
        str(folder / "train/labels.json"),
        str(folder / "val/via_region_data.json"),
    ]
    assert source["skipped"] == ["val/project.json"]


def test_rles_are_passed_over_where_polygons_have_the_same(tmp_path):
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


def test_rles_of_videos_are_passed_over_where_polygons_have_the_same(tmp_path):
    root = "bdd100k/labels/seg_track_20"
    names = [f"{root}/{kind}/{split}/v.json" for kind in ("polygons", "rles") for split in ("train", "val")]
    archive = zip_of(tmp_path / "seg_track.zip", {**dict.fromkeys(names, b"[]"), f"{root}/rles/val/other.json": b"[]"})
    listed = listed_labels(tmp_path / "raw", archive)
    assert members(listed) == [[*names[:2], f"{root}/rles/val/other.json"]]
    assert sources(listed)[0]["skipped"] == names[2:]


def test_bitmasks_count_where_no_json_does(tmp_path):
    folder = folder_of(tmp_path / "ins_seg", {"bitmasks/val/1.png": png(), "colormaps/val/1.png": png()})
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert [file["path"] for file in source["files"]] == [str(folder / "bitmasks/val/1.png")]


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


def test_json_with_labels_does_even_if_it_is_cut_short(tmp_path):
    content = b'[{"name": "1.jpg", "labels": []}]'
    folder = folder_of(tmp_path / "ins_seg", {"bitmasks/val/1.png": png(), "a.json": b"3", "b.json": content})
    (source,) = sources(listed_labels(tmp_path / "raw", folder))
    assert source["skipped"] == ["bitmasks/val/1.png"]
    (folder / "b.json").write_bytes(content[:12])
    with pytest.raises(LabelFileError, match=r"^b\.json: the label file is cut short"):
        listed_labels(tmp_path / "again", folder)


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


FRAMES = [{"name": "a.jpg", "labels": [polygon_label(), polygon_label([[0, 0]])]}, {"name": "b.jpg", "videoName": "v"}]
CAR = via([via_region(name="car", instance="7"), via_region({"name": "point"}, name="bus")])


def encoded(content):
    return json.dumps(content).encode()


def test_tables_hold_all_images_and_labels_in_the_order_of_the_files(tmp_path):
    first = folder_of(tmp_path / "first", {"a.json": encoded(FRAMES), "b.json": b"{}", "c.json": encoded(CAR)})
    second = zip_of(tmp_path / "second.zip", {"val/d.json": encoded([{"labels": [polygon_label()]}, *FRAMES])})
    images, labels, rejected = built(tmp_path / "raw", first, second)
    assert [(row["source"], row["file_index"], row["file"], row["name"], row["video"]) for row in images] == [
        (0, 0, "a.json", "a.jpg", None),
        (0, 0, "a.json", "b.jpg", "v"),
        (0, 2, "c.json", "a.jpg", None),
        (1, 0, "second.zip/val/d.json", "", None),
        (1, 0, "second.zip/val/d.json", "a.jpg", None),
        (1, 0, "second.zip/val/d.json", "b.jpg", "v"),
    ]
    assert [(row["image"], row["label_id"], row["category"], row["part_of"]) for row in labels] == [
        (0, "7", "car", None),
        (2, "0", None, "7"),
        (4, "7", "car", None),
    ]
    without_file = [row for row in rejected if row["row"] is not None]
    assert [(row["row"], row["source"], row["label_id"], row["reason"], row["category"]) for row in without_file] == [
        (0, "a.json", "7~2", reasons.POLYGON_WITHOUT_AREA, "car"),
        (2, "c.json", "1", reasons.SHAPE_WITHOUT_AREA, None),
        (3, "second.zip/val/d.json", "7", reasons.NO_IMAGE_NAME, "car"),
        (4, "second.zip/val/d.json", "7~2", reasons.POLYGON_WITHOUT_AREA, "car"),
    ]
    assert [row["attributes"] for row in without_file] == ["{}", '{"name":"bus"}', "{}", "{}"]
    (set_aside,) = [row for row in rejected if row["row"] is None]
    assert (set_aside["source"], set_aside["reason"]) == ("b.json", reasons.NOT_LABELS)
    assert "b.json: holds no labels" in json.loads(set_aside["label"])["file"]
    summary = json.loads((tmp_path / "raw/summary.json").read_text())
    assert (summary["numbers"]["images"], summary["numbers"]["labels"], summary["numbers"]["rejected"]) == (6, 3, 5)
    assert {row["category"]: row["labels"] for row in summary["tables"]["categories"]} == {"car": 2, "(VIA regions)": 1}


def test_a_named_file_without_labels_is_refused_and_one_beside_others_set_aside(tmp_path):
    files = {"bitmasks/train/c.png": png(), "bitmasks/train/d.png": png()[:-20]}
    folder = folder_of(tmp_path / "ins_seg", files)
    _, _, rejected = built(tmp_path / "raw", folder)
    assert [(row["source"], row["reason"]) for row in rejected] == [
        (name, reasons.NOT_LABELS) for name in sorted(files)
    ]
    with pytest.raises(NotLabelsError, match=r"^c\.png: holds no labels"):
        built(tmp_path / "again", folder / "bitmasks/train/c.png")


def test_a_source_of_coco_files_alone_is_read(tmp_path):
    file = encoded(coco({"segmentation": [TRIANGLE]}))
    folder = folder_of(tmp_path / "labels", {"train.json": file, "val.json": file, "theme.json": encoded({"a": 1})})
    _, labels, _ = built(tmp_path / "raw", folder)
    assert [row["category"] for row in labels] == ["car", "car"]


def test_a_coco_file_beside_labels_of_another_format_is_refused(tmp_path):
    files = {"labels.json": encoded(FRAMES), "instances.json": encoded(coco({"segmentation": [TRIANGLE]}))}
    folder = folder_of(tmp_path / "labels", files)
    with pytest.raises(LabelFileError, match=r"^instances\.json: is a COCO file, .*: set labels\.coco: true$"):
        built(tmp_path / "raw", folder)
    assert not (tmp_path / "raw/labels.parquet").exists()
    _, labels, _ = built(tmp_path / "again", folder, coco=True)
    assert [row["category"] for row in labels] == ["car", "car"]


def test_a_label_file_that_can_t_be_read_is_named(tmp_path):
    with (
        pytest.raises(LabelFileError, match=r"^l: the label file can't be read: No such file or directory"),
        formats.LabelReader(print) as reader,
    ):
        reader.read(0, tmp_path / "absent.json", None, "l")


def test_the_recipe_s_tolerance_decides_how_curves_are_flattened(tmp_path):
    curve = polygon_label([[0, 0], [40, 0], [40, 40], [0, 40]], "LLCC")
    folder = folder_of(tmp_path / "labels", {"l.json": encoded([{"name": "a.jpg", "labels": [curve]}])})
    fine, coarse = (built(tmp_path / str(tolerance), folder, curve_tolerance=tolerance)[1] for tolerance in (0.1, 3))
    assert len(fine[0]["polygons"][0]) > len(coarse[0]["polygons"][0])


@pytest.mark.parametrize("processes", [1, 2])
def test_any_number_of_processes_and_of_rows_at_once_gives_the_same_bytes(tmp_path, monkeypatch, processes):
    frames = [{"name": f"{number}.jpg", "labels": FRAMES[0]["labels"] * (number % 5)} for number in range(200)]
    folder = folder_of(tmp_path / "labels", {"a.json": encoded(CAR), "b.json": encoded(frames), "c.json": encoded(CAR)})
    built(tmp_path / "raw", folder)
    for module, name, value in (
        (json_batches, "BATCH", 3000),
        (json_batches, "WORTH_PROCESSES", 0),
        (content, "LARGE", 2000),
        (table_builder, "ENOUGH_LABELS", 7),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(os, "cpu_count", lambda: processes)
    built(tmp_path / "again", folder)
    for name, schema in (("images", RAW_IMAGES), ("labels", RAW_LABELS), ("rejected", RAW_REJECTED)):
        written = (tmp_path / f"raw/{name}.parquet").read_bytes()
        assert written == (tmp_path / f"again/{name}.parquet").read_bytes()
        assert set(rows_in(tmp_path / f"raw/{name}.parquet")[0]) == set(schema.names)
