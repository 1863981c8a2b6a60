"""VIA 3 projects to rows: images are under `file` and `view`, regions under `metadata`, options under `attribute`.

Shapes are converted to those of VIA 2; segments of time of audio and video are rejected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import LabelFileError
from pipeline.formats.json_text import Json, decode
from pipeline.formats.label_values import image_attributes
from pipeline.formats.table_builder import TableBuilder
from pipeline.formats.via import regions as via_regions
from pipeline.formats.via.regions import Options, declared_options, with_option_texts, word_options
from pipeline.instances import reasons

POINT, RECTANGLE, CIRCLE, ELLIPSE, LINE, POLYLINE, POLYGON = 1, 2, 3, 4, 5, 6, 7
EXTREME_RECTANGLE, EXTREME_CIRCLE = 8, 9
"""First number of `xy`, as in VIA 3's source (_via_metadata.js, _via_file_annotator.js)."""

_OF_POINTS = {
    LINE: "polyline",
    POLYLINE: "polyline",
    POLYGON: "polygon",
    EXTREME_RECTANGLE: via_regions.EXTREME_RECTANGLE,
    EXTREME_CIRCLE: via_regions.EXTREME_CIRCLE,
}
"""Shapes whose numbers are the points that were clicked: x, y, x, y …"""

_KEYS = {
    POINT: ("point", ("cx", "cy")),
    RECTANGLE: ("rect", ("x", "y", "width", "height")),
    CIRCLE: ("circle", ("cx", "cy", "r")),
    ELLIPSE: ("ellipse", ("cx", "cy", "rx", "ry")),
}


def add(builder: TableBuilder, file: int, content: Json) -> Options:
    """Add the images of a VIA 3 project; return the options that it declares whose ids are words.

    Raises LabelFileError where files, views or metadata are no objects.
    """
    project = {key: decode(text) for key, text in content.members.items()}
    for key in ("file", "view", "metadata"):
        if not isinstance(project.get(key, {}), dict):
            raise LabelFileError(f"{content.name}: {key} must be an object, as VIA 3 writes it")
    for view in _views(project):
        _add_view(builder, file, view)
    return _word_options(_objects(project, "attribute"))


@dataclass
class _View:
    """An image; regions, as VIA 2 has them, and segments of time by the key of their metadata."""

    name: str
    regions: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    segments: dict[str, Any] = field(default_factory=dict)
    sources: list[Any] = field(default_factory=list)
    """The regions as the file has them."""


def _add_view(builder: TableBuilder, file: int, view: _View) -> None:
    sources = [*view.segments.values(), *view.sources]
    builder.add_image(file, view.name, lambda: sources, *image_attributes(view.attributes))
    for key in view.segments:
        builder.reject(key, reasons.SEGMENT)
    via_regions.add(builder, view.regions, {})


def _views(project: Any) -> list[_View]:
    files, declared = _objects(project, "file"), _objects(project, "attribute")
    options = declared_options(declared)
    views = {number: _View(_file_name(files, view)) for number, view in _objects(project, "view").items()}
    for key, source in _members(project, "metadata").items():
        metadata = source if isinstance(source, dict) else {"xy": source}
        view = views.setdefault(str(metadata.get("vid")), _View(""))
        values = _values(metadata.get("av"), declared, options)
        if metadata.get("xy") != [] or not isinstance(source, dict):
            # what is no shape is rejected as one
            view.regions[key] = {"shape_attributes": _shape(metadata.get("xy")), "region_attributes": values}
            view.sources.append(source)
        elif metadata.get("z"):
            view.segments[key] = source
        else:
            view.attributes.update(values)
    return list(views.values())


def _word_options(attributes: Mapping[str, Mapping[str, Any]]) -> Options:
    """Return the options whose ids are words, by the name of the attribute, which several may have."""
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


def _values(values: Any, declared: Mapping[str, dict[str, Any]], options: Options) -> dict[str, Any]:
    """Return values by the names of attributes, with option texts; `declared` and `options` are by attribute number.

    The option ids of ticked checkboxes, between commas, become an object as in VIA 2.
    """
    av = {str(number): value for number, value in values.items()} if isinstance(values, dict) else {}
    ticked = {number: _ticked(value, options.get(number, {})) for number, value in av.items()}
    return {
        _name(number, declared.get(number, {})): value for number, value in with_option_texts(ticked, options).items()
    }


def _ticked(value: Any, options: Mapping[str, str]) -> Any:
    ids = value.split(",") if isinstance(value, str) and value not in options else []
    return dict.fromkeys(ids, True) if len(ids) > 1 and all(each in options for each in ids) else value


def _shape(xy: Any) -> Any:
    """Return VIA 2's shape for VIA 3's list of a kind and numbers; what is no such list stays as it is."""
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
