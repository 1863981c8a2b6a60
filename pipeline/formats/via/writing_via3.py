"""A native VIA 3 project: images, views, regions and attributes, each by number, by VIA's own source (via-3.x.y)."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.files.atomic import write_json
from pipeline.formats.via.reading_via3 import CIRCLE, ELLIPSE, POINT, POLYGON, POLYLINE, RECTANGLE
from pipeline.formats.via.regions import numbers, outline, points_of
from pipeline.formats.via.writing import Append, Declarations, Entry, as_address
from pipeline.instances.reasons import LabelError

TYPES = {"text": 1, "checkbox": 2, "dropdown": 4}
OF_REGION, OF_FILE = "FILE1_Z0_XY1", "FILE1_Z0_XY0"
"""What an attribute is one of: a region in an image, or the image."""
FIRST_ATTRIBUTE = 101
"""VIA 3 sorts these numbers as texts to find the next free one: beyond 9 it would give 10 twice, and lose one."""
TOLERANCE = 0.1
"""Pixels within which a leaning ellipse, which VIA 3 lacks, is drawn as a polygon."""

log = logging.getLogger(__name__)

_NUMBERS = {
    "point": (POINT, ("cx", "cy")),
    "rect": (RECTANGLE, ("x", "y", "width", "height")),
    "circle": (CIRCLE, ("cx", "cy", "r")),
    "ellipse": (ELLIPSE, ("cx", "cy", "rx", "ry")),
}


@contextmanager
def via3_project_file(path: Path, name: str, image_folder: str, declared: Declarations) -> Iterator[Append]:
    """Open a VIA 3 project, which is held in memory until the block ends: it is for the images of a folder."""
    entries: list[Entry] = []

    def append(entry: Entry) -> None:
        declared.add(entry)
        entries.append(entry)

    yield append
    write_json(path, _project(name, image_folder, declared.as_json(), entries))


def _project(name: str, image_folder: str, declared: Mapping[str, Any], entries: list[Entry]) -> dict[str, Any]:
    region = {key: str(number) for number, key in enumerate(declared["region"], FIRST_ATTRIBUTE)}
    of_file = {key: str(number) for number, key in enumerate(declared["file"], FIRST_ATTRIBUTE + len(region))}
    numbered = {str(number): entry for number, entry in enumerate(entries, start=1)}
    return {
        "project": {
            # The ids in capitals are VIA's own for a project that was never shared.
            "pid": "__VIA_PROJECT_ID__",
            "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
            "pname": name,
            "creator": "pipeline.via",
            "created": 0,
            "data_format_version": "3.1.1",
            "vid_list": list(numbered),
        },
        "config": {
            "file": {"loc_prefix": {"1": "", "2": "", "3": Path(image_folder).as_uri() + "/", "4": ""}},
            "ui": {
                "file_content_align": "center",
                "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": region["name"],
            },
        },
        "attribute": {
            **{number: _attribute(key, declared["region"][key], OF_REGION) for key, number in region.items()},
            **{number: _attribute(key, declared["file"][key], OF_FILE) for key, number in of_file.items()},
        },
        "file": {number: _file(number, entry.filename) for number, entry in numbered.items()},
        "view": {number: {"fid_list": [number]} for number in numbered},
        "metadata": {
            f"{number}_{place}": {"vid": number, "flg": 0, "z": [], "xy": xy, "av": values}
            for number, entry in numbered.items()
            for place, (xy, values) in enumerate(_metadata(entry, region, of_file))
        },
    }


def _file(number: str, name: str) -> dict[str, Any]:
    """Return an image (type 2) that lies at `file://` (loc 3)."""
    # VIA decodes the name, and refuses the project where it can't.
    return {"fid": number, "fname": name.replace("%", "%25"), "type": 2, "loc": 3, "src": as_address(name)}


def _attribute(name: str, declared: Mapping[str, Any], anchor: str) -> dict[str, Any]:
    return {
        "aname": name,
        "anchor_id": anchor,
        "type": TYPES[declared["type"]],
        "desc": declared["description"],
        "options": declared.get("options", {}),
        "default_option_id": "",
    }


def _metadata(
    entry: Entry, region: Mapping[str, str], of_file: Mapping[str, str]
) -> list[tuple[list[Any], dict[str, str]]]:
    """Return (place, values by attribute number) of the image, where it has attributes, and of each of its regions."""
    of_image = {of_file[name]: _value(value) for name, value in entry.file_attributes.items()}
    found: list[tuple[list[Any], dict[str, str]]] = [([], of_image)] if of_image else []
    for each in entry.regions:
        values = {region[name]: _value(value) for name, value in each["region_attributes"].items()}
        try:
            found.append((_xy(each["shape_attributes"]), values))
        except LabelError as fault:
            log.warning("%s: a region is not in the VIA 3 project: %s", entry.filename, fault.reason)
    return found


def _value(value: Any) -> str:
    """Return a text as it is, and the ids of boxes that are ticked between commas."""
    return ",".join(key for key, ticked in value.items() if ticked) if isinstance(value, dict) else str(value)


def _xy(shape: Mapping[str, Any]) -> list[Any]:
    """Return the kind of a shape and its numbers; raises LabelError for one that is malformed, unknown or no shape."""
    kind = shape.get("name")
    if kind == "ellipse" and shape.get("theta"):
        return [POLYGON, *outline(shape, TOLERANCE)[0].ravel().tolist()]
    if kind in _NUMBERS:
        number, keys = _NUMBERS[kind]
        return [number, *numbers(shape, *keys)]
    if kind == "polyline" and len(line := points_of(shape)) > 1:
        return [POLYLINE, *line.ravel().tolist()]
    outline(shape, TOLERANCE)  # refuses what encloses no area
    return [POLYGON, *points_of(shape).ravel().tolist()]
