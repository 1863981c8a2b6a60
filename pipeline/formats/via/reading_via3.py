"""VIA 3 projects: images under `file` and `view`, regions under `metadata`, what values stand for under `attribute`.

Shapes are turned into those of VIA 2 and read as these; segments of time of audio and video are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.errors import LabelFileError
from pipeline.formats.json_repair import decode
from pipeline.formats.json_stream import Json
from pipeline.formats.rows import Rows, image_attributes, video_of
from pipeline.formats.via import regions as via_regions
from pipeline.formats.via import shapes
from pipeline.formats.via.classes import Options, declared_options, spelled_out, word_options
from pipeline.formats.via.regions import Region
from pipeline.instances import reasons

POINT, RECTANGLE, CIRCLE, ELLIPSE, LINE, POLYLINE, POLYGON = 1, 2, 3, 4, 5, 6, 7
EXTREME_RECTANGLE, EXTREME_CIRCLE = 8, 9
"""First number of `xy`, as in VIA 3's source (_via_metadata.js, _via_file_annotator.js)."""

_OF_POINTS = {
    LINE: "polyline",
    POLYLINE: "polyline",
    POLYGON: "polygon",
    EXTREME_RECTANGLE: shapes.EXTREME_RECTANGLE,
    EXTREME_CIRCLE: shapes.EXTREME_CIRCLE,
}
"""Shapes whose numbers are the points that were clicked: x, y, x, y …"""

_KEYS = {
    POINT: ("point", ("cx", "cy")),
    RECTANGLE: ("rect", ("x", "y", "width", "height")),
    CIRCLE: ("circle", ("cx", "cy", "r")),
    ELLIPSE: ("ellipse", ("cx", "cy", "rx", "ry")),
}


def add(rows: Rows, file: int, whole: Json) -> Options:
    """Add the images of a VIA 3 project; return the options that it declares, those whose ids are words.

    Raises LabelFileError where files, views or metadata are no objects.
    """
    project = {key: decode(text) for key, text in whole.members.items()}
    for key in ("file", "view", "metadata"):
        if not isinstance(project.get(key, {}), dict):
            raise LabelFileError(f"{whole.name}: {key} must be an object, as VIA 3 writes it")
    for view in _views(project):
        segments = [Region(number, None, None, metadata) for number, metadata in view.segments.items()]
        given = [region.given for region in (*segments, *view.regions)]
        rows.begin_image(
            file, view.name, partial(list, given), video_of(view.attributes), image_attributes(view.attributes)
        )
        for segment in segments:
            rows.reject(segment.id, reasons.SEGMENT)
        via_regions.add(rows, view.regions, {})
    return _declared(_objects(project, "attribute"))


@dataclass
class _View:
    """What is said of one image, by the number of the metadata."""

    name: str
    regions: list[Region] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    segments: dict[str, Any] = field(default_factory=dict)


def _views(project: Any) -> list[_View]:
    files, declared = _objects(project, "file"), _objects(project, "attribute")
    options = declared_options(declared)
    views = {number: _View(_file_name(files, view)) for number, view in _objects(project, "view").items()}
    for number, metadata in _members(project, "metadata").items():
        said = metadata if isinstance(metadata, dict) else {"xy": metadata}
        view = views.setdefault(str(said.get("vid")), _View(""))
        values = _values(said.get("av"), declared, options)
        if said.get("xy") != [] or not isinstance(metadata, dict):
            # what is no shape is rejected as one
            view.regions.append(Region(number, _shape(said.get("xy")), values, metadata))
        elif said.get("z"):
            view.segments[number] = metadata
        else:
            view.attributes.update(values)
    return list(views.values())


def _declared(attributes: Mapping[str, Mapping[str, Any]]) -> Options:
    """Return what option ids that are words stand for, by the attribute's name, which several may have."""
    declared: dict[str, dict[str, str]] = {}
    for number, options in declared_options(attributes).items():
        declared.setdefault(_name(number, attributes[number]), {}).update(options)
    return word_options(declared)


def _name(number: str, attribute: Mapping[str, Any]) -> str:
    name = attribute.get("aname")
    return name if isinstance(name, str) and name else number


def _objects(project: Any, key: str) -> dict[str, dict[str, Any]]:
    return {name: value for name, value in _members(project, key).items() if isinstance(value, dict)}


def _members(project: Any, key: str) -> dict[str, Any]:
    inner = project.get(key) if isinstance(project, dict) else None
    return {str(name): value for name, value in inner.items()} if isinstance(inner, dict) else {}


def _file_name(files: Mapping[str, dict[str, Any]], view: Mapping[str, Any]) -> str:
    listed = view.get("fid_list")
    file_id = str(listed[0]) if isinstance(listed, list) and listed else ""
    name = files.get(file_id, {}).get("fname")
    return name if isinstance(name, str) else ""


def _values(given: Any, declared: Mapping[str, dict[str, Any]], options: Options) -> dict[str, Any]:
    """Return attribute names and values; `declared` and `options` go by the number of the attribute.

    Option ids that are mere numbers are spelled out, those of several boxes ticked, between commas, become the ticked.
    """
    av = {str(number): value for number, value in given.items()} if isinstance(given, dict) else {}
    ticked = {number: _ticked(value, options.get(number, {})) for number, value in av.items()}
    return {_name(number, declared.get(number, {})): value for number, value in spelled_out(ticked, options).items()}


def _ticked(value: Any, options: Mapping[str, str]) -> Any:
    ids = value.split(",") if isinstance(value, str) and value not in options else []
    return dict.fromkeys(ids, True) if len(ids) > 1 and all(each in options for each in ids) else value


def _shape(xy: Any) -> Any:
    """Return VIA 2's shape for VIA 3's list of a kind and numbers; what can't be understood stays as it is."""
    if not isinstance(xy, list) or not xy:
        return xy
    kind, numbers = xy[0], xy[1:]
    if isinstance(kind, float) and kind.is_integer():  # as scripts write it
        kind = int(kind)
    if isinstance(kind, bool) or not isinstance(kind, int):
        return {"name": f"VIA 3 shape {kind}", "xy": xy}
    if kind in _OF_POINTS:
        return {"name": _OF_POINTS[kind], "all_points_x": numbers[0::2], "all_points_y": numbers[1::2]}
    if kind not in _KEYS:
        return {"name": f"VIA 3 shape {kind}", "xy": xy}
    name, keys = _KEYS[kind]
    return {"name": name, **dict(zip(keys, numbers, strict=False))}
