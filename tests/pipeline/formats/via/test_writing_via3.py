"""A native VIA 3 project: every shape and attribute, and what its numbers refer to."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.formats.via.writing import Declarations, Entry
from pipeline.formats.via.writing_via3 import via3_project_file
from tests.pipeline.formats.label_rows import images_of

ELLIPSE = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 9, "ry": 4}
SHAPES: list[tuple[dict[str, Any], list[float]]] = [
    ({"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [1, 1, 8]}, [7, 1, 1, 9, 1, 5, 8]),
    ({"name": "polyline", "all_points_x": [1, 9, 5], "all_points_y": [1, 1, 8]}, [6, 1, 1, 9, 1, 5, 8]),
    ({"name": "polyline", "all_points_x": [1, 9], "all_points_y": [2, 3]}, [6, 1, 2, 9, 3]),
    ({"name": "point", "cx": 1, "cy": 2}, [1, 1, 2]),
    ({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}, [2, 1, 2, 3, 4]),
    ({"name": "circle", "cx": 30, "cy": 20, "r": 9}, [3, 30, 20, 9]),
    (ELLIPSE, [4, 30, 20, 9, 4]),
]


def project(tmp_path: Path, *regions: dict[str, Any], **file_attributes: str) -> Any:
    """Return the project of two images, the first with these regions."""
    with via3_project_file(tmp_path / "via3.json", "look", f"{tmp_path}/", Declarations()) as append:
        append(Entry("a.jpg", 10, 64, 48, file_attributes, list(regions)))
        append(Entry("b.jpg", 11, 64, 48, {}, []))
    return json.loads((tmp_path / "via3.json").read_bytes())


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


@pytest.mark.parametrize(("shape", "xy"), SHAPES, ids=lambda value: value["name"] if isinstance(value, dict) else "")
def test_each_shape_has_its_number(tmp_path: Path, shape: dict[str, Any], xy: list[float]) -> None:
    (metadata,) = project(tmp_path, region(shape, name="car"))["metadata"].values()
    assert (metadata["vid"], metadata["xy"], metadata["z"]) == ("1", xy, [])


def test_a_leaning_ellipse_becomes_a_polygon(tmp_path: Path) -> None:
    (metadata,) = project(tmp_path, region({**ELLIPSE, "theta": 1}, name="car"))["metadata"].values()
    assert metadata["xy"][0] == 7
    assert len(metadata["xy"]) > 16


def test_a_region_that_via_3_cannot_show_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shapes = [{"name": "point", "cx": "1", "cy": 2}, {"name": "polyline", "all_points_x": [1], "all_points_y": [2]}]
    shapes += [{"name": "rect", "x": 1}, {"name": "blob"}]
    assert project(tmp_path, *map(region, shapes))["metadata"] == {}
    assert caplog.text.count("a.jpg: a region is not in the VIA 3 project") == 4


def test_every_number_refers_to_something(tmp_path: Path) -> None:
    given = [region(shape, name="car", kind={"old": True, "red": True}, note="1 < 2") for shape, _ in SHAPES]
    made = project(tmp_path, *given, weather="clear")
    assert made["project"]["vid_list"] == list(made["view"]) == ["1", "2"]
    assert [view["fid_list"] for view in made["view"].values()] == [["1"], ["2"]]
    prefix = made["config"]["file"]["loc_prefix"]["3"]
    assert [prefix + file["src"] for file in made["file"].values()] == [
        (tmp_path / name).as_uri() for name in ("a.jpg", "b.jpg")
    ]
    assert sorted(made["attribute"]) == sorted(made["attribute"], key=int)  # VIA 3 finds the next free number as text
    named = {number: attribute["aname"] for number, attribute in made["attribute"].items()}
    assert named[made["config"]["ui"]["spatial_region_label_attribute_id"]] == "name"
    for metadata in made["metadata"].values():
        for number, value in metadata["av"].items():
            attribute = made["attribute"][number]
            assert attribute["anchor_id"] == ("FILE1_Z0_XY1" if metadata["xy"] else "FILE1_Z0_XY0")
            if attribute["type"] != 1:
                assert set(value.split(",")) <= set(attribute["options"])


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    project(tmp_path, region(SHAPES[0][0], name="a < b", note="1 < 2", crowd="true"), weather="clear")
    first, second = images_of(tmp_path / "via3.json")
    assert (first.name, first.attributes, second.name) == ("a.jpg", {"weather": "clear"}, "b.jpg")
    (label,) = first.labels
    assert label.attributes == {"name": "a < b", "note": "1 < 2", "crowd": "true"}
