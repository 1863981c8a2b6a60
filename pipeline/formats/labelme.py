"""labelme's JSON to rows: a file an image, `{imagePath, imageWidth, imageHeight, shapes: [{label, points, …}]}`.

https://github.com/wkentaro/labelme, versions 3 to 5.
"""

import math
from typing import Any

from pipeline.formats.json_text import Json, decode
from pipeline.formats.label_values import check_numbers, image_attributes, split_flags
from pipeline.formats.table_builder import Description, TableBuilder
from pipeline.formats.via import regions as via_regions
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import Geometry, json_text

MOST_SIDE = 1 << 20
"""Pixels that a side of an image may have."""


def add(builder: TableBuilder, file: int, content: Json) -> None:
    """Add the image of a labelme file.

    Shapes of one label and one `group_id` are parts of one instance. Polygons, rectangles and circles are read; other
    shapes have no area, or are masks, which are rejected.
    """
    members = {key: decode(content.members[key]) for key in content.members if key != "imageData"}
    name, shapes = members.get("imagePath"), members.get("shapes")
    instances = _instances(shapes if isinstance(shapes, list) else [])
    attributes = image_attributes(members.get("flags"))
    builder.add_image(file, name if isinstance(name, str) else "", lambda: instances, *attributes)
    width, height = members.get("imageWidth"), members.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int) and 0 < min(width, height) <= max(width, height) < MOST_SIDE:
        builder.set_image_size((width, height))
    if not isinstance(shapes, list):
        builder.reject_image(reasons.LABELS_NOT_LIST, shapes)
    for number, parts in enumerate(instances):
        _add_instance(builder, str(number), parts)


def _instances(shapes: list[Any]) -> list[list[Any]]:
    """Return the shapes of each instance."""
    found: dict[Any, list[Any]] = {}
    for number, shape in enumerate(shapes):
        group = shape.get("group_id") if isinstance(shape, dict) else None
        is_part = isinstance(group, int | str) and isinstance(shape.get("label"), str)
        found.setdefault((group, shape["label"]) if is_part else number, []).append(shape)
    return list(found.values())


def _add_instance(builder: TableBuilder, label_id: str, shapes: list[Any]) -> None:
    """Add the union of shapes; where one can't be read, the instance is rejected."""
    description = _description(shapes[0])
    try:
        if not isinstance(shapes[0], dict):
            raise LabelError(reasons.NO_OBJECT)
        if description.category is None:
            raise LabelError(reasons.NO_CATEGORY)
        outlines = [_outline(shape, builder.curve_tolerance) for shape in shapes]
    except LabelError as fault:
        builder.reject(label_id, fault.reason, description)
        return
    geometry = outlines[0][1] if len(outlines) == 1 else "polygon"
    builder.add_rings(label_id, description, [ring for ring, _ in outlines], geometry)


def _description(shape: Any) -> Description:
    given = shape if isinstance(shape, dict) else {}
    label = given.get("label")
    flags, attributes = split_flags(given.get("flags"))
    category = label if isinstance(label, str) and label.strip() else None
    return Description(category, attributes=json_text(attributes), **flags)


def _outline(shape: dict[str, Any], tolerance: float) -> tuple[Ring, Geometry]:
    """Return the ring around a shape, and its geometry; raises LabelError for one without area, or malformed."""
    kind = str(shape.get("shape_type") or "polygon")
    if kind in ("point", "points", "line", "linestrip"):
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise LabelError(reasons.SHAPE_MALFORMED)
    for point in points:
        check_numbers(point, reasons.SHAPE_MALFORMED)
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    if kind == "circle" and len(points) == 2:  # the centre, and a point on the circle
        radius = math.dist(*points)
        return via_regions.outline({"name": "circle", "cx": xs[0], "cy": ys[0], "r": radius}, tolerance)
    name = {"polygon": "polygon", "rectangle": via_regions.EXTREME_RECTANGLE}.get(kind, f"labelme's {kind}")
    return via_regions.outline({"name": name, "all_points_x": xs, "all_points_y": ys}, tolerance)
