"""VIA's shapes to rings: polygon, polyline, rect, circle, ellipse; a point has no area.

What class a region has is found in `via_classes`.
"""

from typing import Any

import numpy as np

from pipeline.geometry import polygon, shapes
from pipeline.instances import Geometry, Ring
from pipeline.readers import faults
from pipeline.readers.faults import LabelError


def outline(shape: Any, tolerance: float) -> tuple[Ring, Geometry]:
    """Return the ring around a shape and what it is; round ones are within `tolerance` pixels.

    A polyline is closed, since it is used for masks. Raises LabelError for shapes without area, malformed and unknown.
    """
    if not isinstance(shape, dict):
        raise LabelError(faults.SHAPE_MALFORMED)
    kind = shape.get("name", "polygon")
    if kind in ("polygon", "polyline"):
        return _polygon(shape), "polygon"
    if kind == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        if width <= 0 or height <= 0:
            raise LabelError(faults.SHAPE_WITHOUT_AREA)
        return polygon.rectangle(x, y, x + width, y + height), "box"
    if kind == "circle":
        x, y, radius = _numbers(shape, "cx", "cy", "r")
        return _ellipse(x, y, radius, radius, 0, tolerance), "polygon"
    if kind == "ellipse":
        x, y, across, down = _numbers(shape, "cx", "cy", "rx", "ry")
        (angle,) = _numbers(shape, "theta") if "theta" in shape else (0.0,)
        return _ellipse(x, y, across, down, angle, tolerance), "polygon"
    raise LabelError(faults.SHAPE_WITHOUT_AREA if kind == "point" else faults.SHAPE_UNKNOWN)


def _polygon(shape: dict[str, Any]) -> Ring:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)):
        raise LabelError(faults.SHAPE_MALFORMED)
    _check(xs)
    _check(ys)
    ring = polygon.clean(np.array([xs, ys], np.float64).T)
    if not polygon.encloses_area(ring):
        raise LabelError(faults.SHAPE_WITHOUT_AREA)
    return ring


def _ellipse(x: float, y: float, across: float, down: float, angle: float, tolerance: float) -> Ring:
    if across <= 0 or down <= 0:
        raise LabelError(faults.SHAPE_WITHOUT_AREA)
    return shapes.ellipse(x, y, across, down, angle, tolerance)


def _numbers(shape: dict[str, Any], *keys: str) -> list[float]:
    values = [shape.get(key) for key in keys]
    _check(values)
    return [float(value) for value in values]  # type: ignore[arg-type]


def _check(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LabelError(faults.SHAPE_MALFORMED)
        if not abs(value) <= faults.FARTHEST:  # not a number is not either
            raise LabelError(faults.TOO_FAR)
