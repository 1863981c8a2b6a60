"""The label file of one split of an `images.zip` (VIA 1 or 2), read into instances.

Label files of any other kind belong to `pipeline.readers`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pipeline.errors import LabelFileError
from pipeline.geometry.shapes import ellipse
from pipeline.instances import Box, Geometry, Instance, Ring

CLASS_ATTRIBUTES = ("name", "class", "type", "category", "label", "class_id")
LEAST_VERTICES = 3
CURVE_TOLERANCE = 0.5
"""Pixels by which the ring of a round shape may be off."""
FARTHEST = 1e6
"""Pixels; a vertex farther from the origin is a fault of the file."""
_GEOMETRIES: dict[str, Geometry] = {"box": "box", "rle": "rle", "bitmask": "bitmask"}


class Shape(msgspec.Struct):
    """VIA's shape_attributes, as far as they are read."""

    name: str = "polygon"
    all_points_x: list[float] = []
    all_points_y: list[float] = []
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    cx: float = 0.0
    cy: float = 0.0
    r: float = 0.0
    rx: float = 0.0
    ry: float = 0.0
    theta: float = 0.0


class Region(msgspec.Struct):
    """A region of a VIA entry."""

    shape_attributes: Shape
    region_attributes: dict[str, Any] | None = None


class Entry(msgspec.Struct):
    """An image of a VIA file; regions are a dict in VIA 1 and a list in VIA 2."""

    filename: str
    regions: dict[str, Region] | list[Region] = []
    width: float | None = None
    height: float | None = None


def entries(content: bytes, where: str) -> list[Entry]:
    """Return the images of VIA metadata, or of a whole VIA project.

    Raises LabelFileError, naming the file as `where`, for JSON that is cut in half, COCO, or not VIA's.
    """
    try:
        keys = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
        if "annotations" in keys and "images" in keys:
            raise LabelFileError(f"{where}: is a COCO file under a VIA name; export it from VIA as JSON")
        if "_via_img_metadata" in keys:
            keys = msgspec.json.decode(keys["_via_img_metadata"], type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelFileError(f"{where}: isn't VIA JSON: {error}") from None
    decoder = msgspec.json.Decoder(Entry)
    return [_entry(decoder, key, raw, where) for key, raw in keys.items()]


def instances(
    entry: Entry, class_attributes: Sequence[str] = CLASS_ATTRIBUTES
) -> tuple[tuple[Instance, ...], list[tuple[str, str]]]:
    """Return the instances of an image, and (region, reason) for each region that can't be used.

    Regions of a class that share `instance` are one instance; the class is the first of `class_attributes` that is
    given.
    """
    parts: dict[tuple[str, str], list[tuple[Ring, dict[str, Any]]]] = {}
    left_out = []
    regions = entry.regions if isinstance(entry.regions, dict) else dict(enumerate(entry.regions))
    for number, region in regions.items():
        attributes = region.region_attributes or {}
        category, ring = _category(attributes, class_attributes), _ring(region.shape_attributes)
        if category is None or ring is None:
            reason = "no class is named" if category is None else f"not an area: {region.shape_attributes.name}"
            left_out.append((str(number), reason))
            continue
        key = str(attributes.get("instance") or f"region {number}"), category
        parts.setdefault(key, []).append((ring, attributes))
    return tuple(_instance(*key, part) for key, part in parts.items()), left_out


def _entry(decoder: "msgspec.json.Decoder[Entry]", key: str, raw: msgspec.Raw, where: str) -> Entry:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelFileError(f"{where}: the entry {key!r} isn't VIA's: {error}") from None


def _category(attributes: dict[str, Any], keys: Sequence[str]) -> str | None:
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, dict):
            value = next((option for option, chosen in value.items() if chosen), None)
        if value not in (None, "") and not isinstance(value, list | bool):
            return str(value)
    return None


def _ring(shape: Shape) -> Ring | None:
    """Return the outline of a shape without its repeated last vertex; None for no area."""
    if shape.name == "rect":
        right, bottom = shape.x + shape.width, shape.y + shape.height
        points = [(shape.x, shape.y), (right, shape.y), (right, bottom), (shape.x, bottom)]
        return np.array(points, np.float64) if shape.width > 0 and shape.height > 0 else None
    if shape.name in ("circle", "ellipse"):
        across, down = (shape.r, shape.r) if shape.name == "circle" else (shape.rx, shape.ry)
        is_area = 0 < across <= FARTHEST and 0 < down <= FARTHEST and max(abs(shape.cx), abs(shape.cy)) <= FARTHEST
        return ellipse(shape.cx, shape.cy, across, down, shape.theta, CURVE_TOLERANCE) if is_area else None
    if len(shape.all_points_x) != len(shape.all_points_y):
        return None
    ring = np.array([shape.all_points_x, shape.all_points_y], np.float64).T
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    believable = len(ring) >= LEAST_VERTICES and bool((np.abs(ring) <= FARTHEST).all())
    return np.ascontiguousarray(ring) if believable else None


def _instance(key: str, category: str, parts: list[tuple[Ring, dict[str, Any]]]) -> Instance:
    """Return the instance whose mask is the union of `parts`; its flags are true where any of its regions says so."""
    rings = tuple(ring for ring, _ in parts)
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    attributes = [attributes for _, attributes in parts]
    return Instance(
        id=key,
        category=category,
        source_category=category,
        rings=rings,
        box=Box(left, top, right - left, bottom - top),
        geometry=_GEOMETRIES.get(str(attributes[0].get("geometry")), "polygon"),
        crowd=bool(_any(attributes, "crowd")),
        ignored=bool(_any(attributes, "ignored")),
        occluded=_any(attributes, "occluded"),
        truncated=_any(attributes, "truncated"),
    )


def _any(attributes: list[dict[str, Any]], flag: str) -> bool | None:
    """Return whether the flag is true for any region; None where no region has it."""
    given = [_true(each[flag]) for each in attributes if flag in each]
    return any(given) if given else None


def _true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1", "yes")
