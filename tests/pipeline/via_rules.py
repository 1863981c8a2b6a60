"""What VIA 1 needs of annotations to import them, VIA 2 of a project to open it, and VIA 3 to import that project.

As far as VIA's source says.
"""

from pathlib import Path
from typing import Any


def assert_via_opens(project: dict[str, Any], images: Path | None) -> None:
    """Hold a project against each rule of VIA 2's loading and VIA 3's import; `images` holds its pictures."""
    # VIA 2 takes a file for a project by these three; VIA 3 imports nothing else.
    assert {"_via_settings", "_via_img_metadata", "_via_attributes"} <= set(project)
    assert set(project["_via_settings"]) == {"ui", "core", "project"}
    # An id without metadata stops VIA 2 half way, metadata without an id is never shown.
    assert project["_via_image_id_list"] == list(project["_via_img_metadata"])
    assert len({name.casefold() for name in project["_via_image_id_list"]}) == len(project["_via_img_metadata"])
    declared = project["_via_attributes"]
    assert set(declared) == {"region", "file"}
    for key, image in project["_via_img_metadata"].items():
        # Entries that lack one of the four are dropped without a word.
        assert set(image) == {"filename", "size", "regions", "file_attributes"}
        assert key == f"{image['filename']}{image['size']}"
        assert images is None or image["size"] == (images / image["filename"]).stat().st_size
        assert isinstance(image["regions"], list)
        for name, value in image["file_attributes"].items():
            assert_declared(declared["file"][name], value)
        for region in image["regions"]:
            assert set(region) == {"shape_attributes", "region_attributes"}
            assert_shape(region["shape_attributes"])
            for name, value in region["region_attributes"].items():
                assert_declared(declared["region"][name], value)


def assert_via_1_imports(annotations: dict[str, Any], images: Path | None) -> None:
    """Hold annotations against each rule of VIA 1's import and drawing; `images` holds their pictures."""
    for key, image in annotations.items():
        # Annotations go to the picture that has this name and size; those of no picture are dropped without a word.
        assert key == f"{image['filename']}{image['size']}"
        assert images is None or image["size"] == (images / image["filename"]).stat().st_size
        for region in image["regions"].values():
            assert_shape(region["shape_attributes"])
            assert_closed(region["shape_attributes"])


def assert_closed(shape: dict[str, Any]) -> None:
    """VIA 1 draws a side from each vertex to the next, none to the first, and drags the last along with the first."""
    if shape["name"] == "polygon":
        for corners in (shape["all_points_x"], shape["all_points_y"]):
            assert len(corners) >= 4
            assert corners[0] == corners[-1]


def assert_declared(attribute: dict[str, Any], value: Any) -> None:
    """VIA 3 lumps attributes together that aren't declared; choices hold ids of options, not descriptions."""
    if attribute["type"] == "text":
        assert isinstance(value, str)
        return
    assert {"options", "default_options"} <= set(attribute)
    if attribute["type"] == "checkbox":
        assert isinstance(value, dict)
        assert set(value) <= set(attribute["options"])
        return
    assert attribute["type"] in ("dropdown", "radio")
    assert value in attribute["options"]


def assert_shape(shape: dict[str, Any]) -> None:
    """A polygon has as many x as y, and corners enough to be drawn."""
    if shape["name"] == "polygon":
        assert len(shape["all_points_x"]) == len(shape["all_points_y"]) >= 3
