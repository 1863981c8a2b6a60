"""VIA's shapes to rings: polygon, polyline, rect, circle, ellipse, and VIA 3's extreme ones; a point has no area.

What class a region has is found in `via_classes`.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes import polygons
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import Geometry

FEWEST_SIDES = 12
MOST_SIDES = 720


def ellipse(x: float, y: float, radius_x: float, radius_y: float, angle: float, tolerance: float) -> Ring:
    """Return a ring within `tolerance` pixels of the ellipse around (x, y), turned by `angle` radians (x towards y).

    A side of a circle of radius r that spans 2a radians lies r (1 - cos a) inside it.
    """
    largest = max(radius_x, radius_y)
    half = math.acos(1 - min(tolerance / largest, 1))
    sides = min(max(math.ceil(math.pi / half), FEWEST_SIDES), MOST_SIDES)
    turn = np.arange(sides) * (2 * math.pi / sides)
    # Python's functions, not numpy's: those differ in the last bit from one processor to another
    along = radius_x * np.array([math.cos(each) for each in turn.tolist()])
    across = radius_y * np.array([math.sin(each) for each in turn.tolist()])
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.stack([x + along * cosine - across * sine, y + along * sine + across * cosine], axis=1)


NUMBERS = frozenset({int, float})
EXTREME_RECTANGLE, EXTREME_CIRCLE = "extreme rectangle", "extreme circle"
"""Shapes of VIA 3, which VIA 2 has no name for: through points on each side of it, through three points."""


def outline(shape: Any, tolerance: float) -> tuple[Ring, Geometry]:
    """Return the ring around a shape and what it is; round ones are within `tolerance` pixels.

    A polyline is closed, since it is used for masks. Raises LabelError for shapes without area, malformed and unknown.
    """
    if not isinstance(shape, dict):
        raise LabelError(reasons.SHAPE_MALFORMED)
    kind = shape.get("name", "polygon")
    if kind in ("polygon", "polyline"):
        return _polygon(shape), "polygon"
    if kind in ("rect", EXTREME_RECTANGLE):
        return _rectangle(*(_sides(shape) if kind == "rect" else _extremes(shape))), "box"
    if kind in ("circle", "ellipse", EXTREME_CIRCLE):
        return _ellipse(*_axes(shape, kind), tolerance), "polygon"
    raise LabelError(reasons.SHAPE_WITHOUT_AREA if kind == "point" else reasons.SHAPE_UNKNOWN)


def _polygon(shape: dict[str, Any]) -> Ring:
    ring = polygon.clean(points_of(shape))
    if not polygons.encloses_area(ring):
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    return ring


def points_of(shape: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the points of a shape, [K, 2] (x, y); raises LabelError where they aren't as many x as y."""
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)):
        raise LabelError(reasons.SHAPE_MALFORMED)
    _check(xs)
    _check(ys)
    return np.array([xs, ys], np.float64).T


def _rectangle(left: float, top: float, right: float, bottom: float) -> Ring:
    if right <= left or bottom <= top:
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    return polygon.rectangle(left, top, right, bottom)


def _sides(shape: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom; a side that was dragged beyond the other one is that one (VIA 3 does so)."""
    x, y, width, height = numbers(shape, "x", "y", "width", "height")
    return min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)


def _extremes(shape: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of the points that were put on the sides of a rectangle."""
    points = points_of(shape)
    if not len(points):
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def _axes(shape: dict[str, Any], kind: str) -> tuple[float, float, float, float, float]:
    """Return the centre, the half axes and the angle of a round shape."""
    if kind == "ellipse":
        x, y, across, down = numbers(shape, "cx", "cy", "rx", "ry")
        (angle,) = numbers(shape, "theta") if "theta" in shape else (0.0,)
        return x, y, across, down, angle
    x, y, radius = numbers(shape, "cx", "cy", "r") if kind == "circle" else _circle_through(points_of(shape))
    return x, y, radius, radius, 0.0


def _circle_through(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the centre and the radius of the circle through three points: those at one distance from each of them.

    With the first point at the origin, the centre c has 2 c·p = |p|² for the other two.
    """
    if len(points) != 3:
        raise LabelError(reasons.SHAPE_MALFORMED)
    x, y = points[0].tolist()
    (x1, y1), (x2, y2) = (points[1:] - points[0]).tolist()
    across = 2 * (x1 * y2 - y1 * x2)
    if across == 0:  # the points lie on one line
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    square1, square2 = x1 * x1 + y1 * y1, x2 * x2 + y2 * y2
    right, down = (square1 * y2 - square2 * y1) / across, (square2 * x1 - square1 * x2) / across
    circle = x + right, y + down, math.sqrt(right * right + down * down)
    _check(list(circle))
    return circle


def _ellipse(x: float, y: float, across: float, down: float, angle: float, tolerance: float) -> Ring:
    if across <= 0 or down <= 0:
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    return ellipse(x, y, across, down, angle, tolerance)


def numbers(shape: Mapping[str, Any], *keys: str) -> list[float]:
    """Return numbers of a shape; raises LabelError where one is none, or lies too far away."""
    values = [shape.get(key) for key in keys]
    _check(values)
    return [float(value) for value in values]  # type: ignore[arg-type]


def _check(values: list[Any]) -> None:
    """Raise LabelError where a value is no number, or lies too far away, as what is not a number does."""
    if not NUMBERS.issuperset(map(type, values)):
        raise LabelError(reasons.SHAPE_MALFORMED)
    if not values:
        return
    if not (min(values) >= -reasons.FARTHEST and max(values) <= reasons.FARTHEST) or math.isnan(sum(values)):
        raise LabelError(reasons.TOO_FAR)
