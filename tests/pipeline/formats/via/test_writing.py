"""Filtered labels as VIA files: what VIA 1, 2 and 3 need of them, and folders that VIA opens."""

import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import dataset, via
from pipeline.artifacts import summary
from pipeline.errors import ArtifactError, EmptyDatasetError
from pipeline.via import __main__
from tests.pipeline.labelled_folders import SQUARE, area, box, filtered, folder_with, frame, recipe_of, via_of
from tests.pipeline.small_datasets import jpeg, write
from tests.pipeline.via_rules import assert_via_opens

CAR = area("car", SQUARE, [(30.0, 30.0), (40.0, 30.0), (35.0, 40.0)], id="c1")
FRAMES = [
    frame("a.jpg", CAR, box("bike", 1, 2, 5, 9, id="b1", attributes={"occluded": True, "truncated": False, "z": [1]})),
    frame("b.jpg", CAR, attributes={"weather": "clear", "lanes": 3}, videoName="clip"),
    frame("c.jpg"),
]


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """The VIA folder of a data set whose val holds three images."""
    data = folder_with(tmp_path / "data", ["a.jpg", "b.jpg", "c.jpg"], {"l.json": FRAMES})
    made = recipe_of([data], [data], labels={"categories": ["car", "bike"]}, dataset={"split": "all_in_both"})
    return via_of(made, filtered(made, tmp_path), "val")


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def test_region_data_is_what_the_2019_notebooks_read(val: Path, tmp_path: Path) -> None:
    content = read(val, "via_region_data.json")
    assert list(content) == [
        f"{name}{(tmp_path / 'data' / name).stat().st_size}" for name in ("a.jpg", "b.jpg", "c.jpg")
    ]
    first, second, third = content.values()
    assert list(first) == ["filename", "size", "width", "height", "regions", "file_attributes"]
    assert (first["filename"], first["width"], first["height"]) == ("a.jpg", 64, 48)
    assert first["size"] == (tmp_path / "data/a.jpg").stat().st_size
    assert list(first["regions"]) == ["0", "1", "2"]
    assert first["regions"]["0"] == {
        "shape_attributes": {
            "name": "polygon",
            "all_points_x": [10, 10, 20, 20],
            "all_points_y": [10, 20, 20, 10],
        },
        "region_attributes": {"name": "car", "instance": "c1"},
    }
    assert first["regions"]["1"]["region_attributes"] == {"name": "car", "instance": "c1"}
    assert first["regions"]["2"]["region_attributes"] == {
        "name": "bicycle",
        "instance": "b1",
        "occluded": "true",
        "truncated": "false",
        "geometry": "box",
        "attributes": '{"z":[1]}',
    }
    assert second["file_attributes"] == {"weather": "clear", "video": "clip", "attributes": '{"lanes":3}'}
    assert third["regions"] == {}


def test_a_project_is_one_that_via_2_opens_and_via_3_imports(val: Path, tmp_path: Path) -> None:
    project = read(val, "via_project.json")
    assert_via_opens(project, tmp_path / "data")
    assert list(project["_via_attributes"]["region"]["name"]["options"]) == ["car", "bicycle"]
    for image in project["_via_img_metadata"].values():
        for region in image["regions"]:  # VIA 2 closes polygons by itself
            corners = region["shape_attributes"]
            assert (corners["all_points_x"][0], corners["all_points_y"][0]) != (
                corners["all_points_x"][-1],
                corners["all_points_y"][-1],
            )


def test_the_summary_counts_regions_and_instances(val: Path) -> None:
    made = summary.read(val)
    assert made.numbers == {"images": 3, "regions": 5, "instances": 3}
    assert {row["category"]: (row["regions"], row["instances"]) for row in made.tables["classes"]} == {
        "car": (4, 2),
        "bicycle": (1, 1),
    }


def test_a_split_without_images_is_refused(tmp_path: Path, val: Path) -> None:
    made = recipe_of([tmp_path / "data"], [tmp_path / "data"])
    with pytest.raises(EmptyDatasetError, match="no image in test"):
        via.build(made, tmp_path / "filtered_labels", "test", tmp_path)


def test_via_files_listed_as_labels_give_the_same_tables_again(val: Path, tmp_path: Path) -> None:
    made = recipe_of([tmp_path / "data"], [val / "via_project.json"], dataset={"split": "all_in_both"})
    again = filtered(made, tmp_path / "again")
    for name in ("labels", "images"):
        before, after = (
            pa.parquet.read_table(folder / f"{name}.parquet").to_pylist()
            for folder in (tmp_path / "filtered_labels", again)
        )
        for row in (*before, *after):
            row.pop("source")
            row.pop("source_category", None)
        assert before == after


@pytest.fixture
def archive(tmp_path: Path, val: Path) -> Path:
    """The images.zip of the same data set."""
    made = recipe_of([tmp_path / "data"], [tmp_path / "data"], dataset={"split": "all_in_both"})
    train = via_of(made, tmp_path / "filtered_labels", "train")
    out = tmp_path / "dataset_zip"
    out.mkdir()
    dataset.build(made, tmp_path / "filtered_labels", train, val, tmp_path / "raw_images", out)
    return out / "images.zip"


def test_open_makes_a_folder_that_via_opens(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "look"
    assert __main__.main(["open", str(archive.parent), "--images", "2", "--out", str(out)]) == 0
    assert re.match(r"2 images: load .*/look/via_project.json in VIA 2", capsys.readouterr().out)
    files = ["a.jpg", "b.jpg", "via3_project.json", "via_project.json", "via_region_data.json"]
    assert sorted(path.name for path in out.iterdir()) == files
    project = read(out, "via_project.json")
    assert project["_via_settings"]["core"]["default_filepath"] == f"{out}/"
    for image in project["_via_img_metadata"].values():
        assert image["size"] == (out / image["filename"]).stat().st_size
    assert Counter(len(image["regions"]) for image in project["_via_img_metadata"].values()) == {3: 1, 2: 1}


def test_open_makes_a_project_of_a_dataset_of_other_hands(tmp_path: Path) -> None:
    from pipeline.relabelling import folder as via_folder

    shape = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
    kinds = [{"class_id": 3, "kind": {"a": True}}, {"class_id": None, "kind": {"b": False}}, None, {"name": "x"}]
    regions = [{"shape_attributes": shape, "region_attributes": each} for each in kinds]
    labels = {"a.jpg": {"filename": "a.jpg", "regions": regions, "file_attributes": {"n": 2}}}
    path = write(tmp_path / "images.zip", {"train": labels}, {"train/a.jpg": jpeg(20, 10)})
    assert via_folder.make_folder(path, tmp_path / "look") == 1
    project = read(tmp_path / "look", "via_project.json")
    assert_via_opens(project, tmp_path / "look")
    (image,) = project["_via_img_metadata"].values()
    assert [region["region_attributes"] for region in image["regions"]] == [
        {"class_id": "3", "kind": {"a": True}},
        {"class_id": "", "kind": {"b": False}},
        {},
        {"name": "x"},
    ]


def test_open_says_which_splits_there_are(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["open", str(archive), "--split", "test", "--out", str(tmp_path / "look")]
    assert __main__.main(arguments) == 2
    assert "has no images/test/via_region_data.json; it has train, val" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as opened:
        opened.writestr("a.jpg", b"")
    assert __main__.main(["open", str(tmp_path / "pictures.zip"), "--out", str(tmp_path / "look")]) == 2
    assert "it is no images.zip" in capsys.readouterr().err


def test_open_refuses_a_folder_in_use_and_names_what_is_missing(archive: Path, tmp_path: Path, val: Path) -> None:
    from pipeline.relabelling import folder as via_folder

    with pytest.raises(ArtifactError, match="isn't empty"):
        via_folder.make_folder(archive, tmp_path / "data")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ArtifactError, match=r"notes\.txt: is a file; name a new folder with --out"):
        via_folder.make_folder(archive, tmp_path / "notes.txt")
    with pytest.raises(ArtifactError, match="--pictures"):
        via_folder.make_folder(val, tmp_path / "look")
    assert via_folder.make_folder(val, tmp_path / "look", pictures=archive) == 3


def test_open_writes_no_image_outside_its_folder(tmp_path: Path) -> None:
    from pipeline.relabelling import folder as via_folder

    hostile = {"x": {"filename": "../../evil.jpg", "size": 1, "regions": [], "file_attributes": {}}}
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as opened:
        opened.writestr("images/val/via_region_data.json", json.dumps(hostile))
        opened.writestr("images/val/../../evil.jpg", b"evil")
        opened.writestr("images/val/evil.jpg", b"harmless")
    via_folder.make_folder(tmp_path / "images.zip", tmp_path / "deep/look")
    assert (tmp_path / "deep/look/evil.jpg").read_bytes() == b"harmless"
    assert not list(tmp_path.glob("evil.jpg"))


def test_help_names_what_can_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--help"]) == 0
    assert "pipeline.via open SOURCE" in capsys.readouterr().out
    assert __main__.main([]) == 2
    with pytest.raises(SystemExit):
        __main__.main(["open", "--images", "0", "x"])
    assert "--images must be at least 1" in capsys.readouterr().err
