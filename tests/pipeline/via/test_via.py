"""Filtered labels as VIA files: what the 2019 notebooks and VIA 1, 2 and 3 need of them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import via
from pipeline.artifacts import summary
from pipeline.errors import EmptyDatasetError
from pipeline.via import __main__
from tests.pipeline.labelled_folders import SQUARE, area, box, filtered, folder_with, frame, recipe_of, via_of
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


def test_help_names_what_can_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--help"]) == 0
    assert "pipeline.via open SOURCE" in capsys.readouterr().out
    assert __main__.main([]) == 2
    with pytest.raises(SystemExit):
        __main__.main(["open", "--images", "0", "x"])
    assert "--images must be at least 1" in capsys.readouterr().err
