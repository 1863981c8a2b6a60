"""Regions of VIA files: shapes to rings, and attributes whose options are ids; no class is decided here."""

import html
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes import polygons
from pipeline.formats.label_values import FLAGS, answer, check_numbers
from pipeline.formats.table_builder import Description, TableBuilder
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import GEOMETRIES, Geometry, json_text

ROUNDING = 0.01
"""Pixels by which a vertex may be off since it was written to a VIA file."""
FEWEST_SIDES, MOST_SIDES = 12, 720
"""Of the polygon in the place of a round shape."""
EXTREME_RECTANGLE, EXTREME_CIRCLE = "extreme rectangle", "extreme circle"
"""Shapes of VIA 3, which VIA 2 has no name for: through points on each side of it, through three points."""

Options = Mapping[str, Mapping[str, str]]
"""By attribute: the text that people see for each option id, which is what regions hold."""


def shape_and_attributes(region: Any) -> tuple[Any, Any]:
    """Return the shape of a region as VIA 2 has it, and its attributes; what is no object is a malformed shape."""
    if not isinstance(region, dict):
        return region, None
    return region.get("shape_attributes"), region.get("region_attributes")


def add(builder: TableBuilder, regions: Mapping[str, Any], options: Options) -> None:
    """Add the regions of the last image, by id; attributes are kept whole, option ids that are numbers as texts."""
    for label_id, region in regions.items():
        shape, given = shape_and_attributes(region)
        attributes = with_option_texts(given, options)
        part_of = text_of(attributes.get("instance")) or None
        description = Description(None, attributes=json_text(attributes), part_of=part_of)
        try:
            ring, kind = outline(shape, builder.curve_tolerance)
        except LabelError as fault:
            builder.reject(label_id, fault.reason, description)
        else:
            builder.add_rings(label_id, description, [ring], geometry_of(attributes, kind, ring))


def geometry_of(attributes: Mapping[str, Any], kind: Geometry, ring: Ring) -> Geometry:
    """Return what a region was made from; a box whose outline a person has changed since is a polygon."""
    stated = attributes.get("geometry")
    geometry = next((geometry for geometry in GEOMETRIES if geometry == stated), kind)
    if geometry != "box":
        return geometry
    width, height = (ring.max(axis=0) - ring.min(axis=0)).tolist()
    return "box" if width * height - polygon.area(ring) <= ROUNDING * (width + height) else "polygon"


def declared_options(region_attributes: Any) -> dict[str, Mapping[str, str]]:
    """Return the options that a project declares for attributes; one without a text stands for itself."""
    declared: dict[str, Mapping[str, str]] = {}
    for name, attribute in region_attributes.items() if isinstance(region_attributes, dict) else ():
        options = attribute.get("options") if isinstance(attribute, dict) else None
        if isinstance(options, dict):
            texts = {key: text for key, text in options.items() if isinstance(text, str)}
            declared[name] = {key: html.unescape(text).strip() or key for key, text in texts.items()}
    return declared


def texts_to_choose(options: Mapping[str, str]) -> dict[str, str]:
    """Return options as `with_option_texts` leaves them: those whose ids are mere numbers by their texts."""
    return {text_of_option(option, options): text for option, text in options.items()}


def word_options(declared: Options) -> dict[str, dict[str, str]]:
    """Return the options whose ids are words, by attribute; attributes without one are left out."""
    words = {
        name: {key: text for key, text in options.items() if not key.isdigit()} for name, options in declared.items()
    }
    return {name: options for name, options in words.items() if options}


def text_of(value: Any) -> str:
    """Return a text as it is and a number as text (`12` also for 12.0); empty where the value is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def text_of_option(option: str, options: Mapping[str, str]) -> str:
    """Return the text of an option id that is a mere number; ids that are words are returned as they are."""
    return options.get(option, option) if option.isdigit() else option


def with_option_texts(attributes: Any, options: Options) -> Mapping[str, Any]:
    """Return a region's attributes with `text_of_option` for option ids; empty where they are no object.

    Of a flag, an id that means yes or no stays where the text means neither.
    """
    if not isinstance(attributes, dict) or not options:
        return attributes if isinstance(attributes, dict) else {}
    return {key: _with_text(key, value, options[key]) if key in options else value for key, value in attributes.items()}


def _with_text(key: str, value: Any, options: Mapping[str, str]) -> Any:
    if isinstance(value, dict):  # checkboxes
        ticked: dict[str, Any] = {}
        for option, is_ticked in value.items():
            text = text_of_option(option, options)
            ticked[text] = ticked.get(text) or is_ticked
        return ticked
    text = text_of_option(value, options) if isinstance(value, str) else value
    return value if key.casefold() in FLAGS and answer(text) is None else text


def outline(shape: Any, tolerance: float) -> tuple[Ring, Geometry]:
    """Return the ring around a shape, and its geometry; a round shape is within `tolerance` pixels.

    A polyline is closed, since it is used for masks. Raises LabelError for a shape without area, malformed or unknown.
    """
    if not isinstance(shape, dict):
        raise LabelError(reasons.SHAPE_MALFORMED)
    kind = shape.get("name", "polygon")
    if kind in ("polygon", "polyline"):
        return _polygon(shape), "polygon"
    if kind in ("rect", EXTREME_RECTANGLE):
        return _rectangle(*(_sides(shape) if kind == "rect" else _extremes(shape))), "box"
    if kind in ("circle", "ellipse", EXTREME_CIRCLE):
        return ellipse(*_axes(shape, kind), tolerance), "polygon"
    raise LabelError(reasons.SHAPE_WITHOUT_AREA if kind == "point" else reasons.SHAPE_UNKNOWN)


def _polygon(shape: dict[str, Any]) -> Ring:
    ring = polygon.clean(points_of(shape))
    if not polygons.encloses_area(ring):
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    return ring


def points_of(shape: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the points of a shape, [K, 2] (x, y); raises LabelError where x and y differ in number."""
    xs: Any = shape.get("all_points_x")
    ys: Any = shape.get("all_points_y")
    check_numbers(xs, reasons.SHAPE_MALFORMED)
    check_numbers(ys, reasons.SHAPE_MALFORMED)
    if len(xs) != len(ys):
        raise LabelError(reasons.SHAPE_MALFORMED)
    return np.array([xs, ys], np.float64).T


def _rectangle(left: float, top: float, right: float, bottom: float) -> Ring:
    if right <= left or bottom <= top:
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    return polygon.rectangle(left, top, right, bottom)


def _sides(shape: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom; VIA 3 has negative widths and heights."""
    x, y, width, height = numbers(shape, "x", "y", "width", "height")
    return min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)


def _extremes(shape: dict[str, Any]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of points on the sides of a rectangle."""
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
    """Return x and y of the centre and the radius of the circle through three points.

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
    check_numbers(list(circle), reasons.SHAPE_MALFORMED)
    return circle


def ellipse(x: float, y: float, radius_x: float, radius_y: float, angle: float, tolerance: float) -> Ring:
    """Return a ring within `tolerance` pixels of the ellipse around (x, y), turned by `angle` radians (x towards y).

    A side of a circle of radius r that spans 2a radians lies r (1 - cos a) inside it.
    """
    if radius_x <= 0 or radius_y <= 0:
        raise LabelError(reasons.SHAPE_WITHOUT_AREA)
    largest = max(radius_x, radius_y)
    half = math.acos(1 - min(tolerance / largest, 1))
    sides = min(max(math.ceil(math.pi / half), FEWEST_SIDES), MOST_SIDES)
    turn = np.arange(sides) * (2 * math.pi / sides)
    # Python's functions, not numpy's: those differ in the last bit from one processor to another
    along = radius_x * np.array([math.cos(each) for each in turn.tolist()])
    across = radius_y * np.array([math.sin(each) for each in turn.tolist()])
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.stack([x + along * cosine - across * sine, y + along * sine + across * cosine], axis=1)


def numbers(shape: Mapping[str, Any], *keys: str) -> list[float]:
    """Return values of a shape; raises LabelError where one is no number, or too large."""
    values: list[Any] = [shape.get(key) for key in keys]
    check_numbers(values, reasons.SHAPE_MALFORMED)
    return [float(value) for value in values]
