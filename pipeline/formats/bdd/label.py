"""One label of a BDD frame, of any release, to an instance.

Frames and files are read in `bdd_frames` and `bdd_per_image`; what the words mean is in `pipeline.recipe.categories`.
"""

import json
import re
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.formats.options import ReadOptions, answer
from pipeline.geometry import curves, masks, polygon
from pipeline.geometry.polygon import Box, Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import Geometry, Instance
from pipeline.recipe.categories import DRIVABLE, LANE, Meaning, Wanted, is_line

LINE_WIDTH = 4.0
"""Pixels: how wide an open line (a lane marking) becomes, since a line has no area."""

_FLAGS = {
    "occluded": "occluded",
    "Occluded": "occluded",
    "truncated": "truncated",
    "Truncated": "truncated",
    "crowd": "crowd",
    "ignored": "ignored",
}
WITH_KIND = {DRIVABLE: "areaType", LANE: "laneType"}
"""Categories of 2018 that leave to an attribute what 2020 calls a category."""

NOTHING = tuple(msgspec.Raw(text) for text in (b"null", b"[]", b"{}"))

LONGEST_NUMBER = 4300
"""Digits that Python's parser of JSON takes."""
_LONG_NUMBER = re.compile(r"\d{1000}")

ABSENT = msgspec.Raw(b"")
"""What a label lacks; one object for all, since the encoder leaves out what is this very one."""

Vertices = list[tuple[float, float]]


class Box2d(msgspec.Struct, gc=False):
    """Corners in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float


class AnyLabel(msgspec.Struct, omit_defaults=True):
    """What a label of any release has; what is not needed for every label stays undecoded.

    These are all keys of Scalabel's labels (scalabel/label/typing.py); those from `index` on say nothing that is used,
    and are only told of a label that is left out.
    """

    category: Any = None
    id: Any = None
    attributes: Any = None
    box2d: Any = None
    poly2d: msgspec.Raw = ABSENT
    rle: msgspec.Raw = ABSENT
    score: Any = None
    index: Any = None
    manualShape: Any = None  # noqa: N815 (the files' own keys)
    manualAttributes: Any = None  # noqa: N815
    box3d: Any = None
    graph: Any = None


class LooseLabel(AnyLabel):
    """A label whose box is not four numbers."""


class Label(AnyLabel):
    """A label whose box, if it has one, is sound."""

    box2d: Box2d | None = None


class KnownLabel(Label, forbid_unknown_fields=True):
    """A label of which nothing would be lost."""


class Poly2d(msgspec.Struct):
    """A path: vertices with a letter each; `closed` can't be trusted and is not read."""

    vertices: Vertices
    types: str | None = None


class RunLengths(msgspec.Struct):
    """A COCO mask."""

    counts: str | list[int]
    size: tuple[int, int]


_poly2d = msgspec.json.Decoder(list[Poly2d])
_path = msgspec.json.Decoder(list[tuple[float, float, str]])
_run_lengths = msgspec.json.Decoder(RunLengths)


def meaning(label: AnyLabel, wanted: Wanted) -> Meaning | None:
    """Return what the label's category means to the recipe, or None where it isn't wanted.

    Raises LabelError where it has no category.
    """
    word = label.category
    if not isinstance(word, str) or not word or word.isspace():
        raise LabelError(reasons.NO_CATEGORY)
    kind = None
    if word in WITH_KIND and isinstance(label.attributes, dict):
        kind = label.attributes.get(WITH_KIND[word])
    return wanted.meaning(word, kind if isinstance(kind, str) else None)


def instance(label: AnyLabel, label_id: str, meant: Meaning, options: ReadOptions) -> Instance:
    """Return the instance that a wanted label describes: its polygons, else its mask, else its box as a rectangle.

    Vertices and controls are rounded to whole pixels before curves are flattened, as BDD's toolkit does. Raises
    LabelError where there is no area.
    """
    geometry: Geometry = "polygon"
    mask_size = None
    if label.poly2d and label.poly2d not in NOTHING:
        rings = _rings(label, meant, options.curve_tolerance)
        box = polygon.bounds(rings)
    elif label.rle and label.rle not in NOTHING:
        (rings, mask_size), geometry = _traced(label.rle), "rle"
        box = polygon.bounds(rings)
    elif label.box2d is not None:
        box, geometry = _box(label.box2d, options), "box"
        rings = (polygon.rectangle(label.box2d.x1, label.box2d.y1, label.box2d.x2, label.box2d.y2),)
    else:
        raise LabelError(reasons.NO_GEOMETRY)
    attributes, flags = parted_attributes(label)
    return Instance(
        id=label_id,
        category=meant.category,
        source_category=label.category,
        rings=rings,
        box=box,
        geometry=geometry,
        crowd=flags.get("crowd", False),
        ignored=meant.ignored or flags.get("ignored", False),
        occluded=flags.get("occluded"),
        truncated=flags.get("truncated"),
        attributes=attributes,
        mask_size=mask_size,
    )


def text_of_id(value: Any) -> str:
    """Return a label's id as text; empty where it has none."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    return "" if value is None or isinstance(value, bool) else msgspec.json.encode(value).decode()


def json_of(label: Any) -> str:
    """Return a label as it is kept when it is rejected: what was read of it, as JSON.

    A number of more digits than parsers take is kept as text.
    """
    text = msgspec.json.encode(label).decode("utf-8", "replace")
    if len(text) <= LONGEST_NUMBER or not _LONG_NUMBER.search(text):
        return text
    return json.dumps(json.loads(text, parse_int=lambda digits: digits if len(digits) > 1000 else int(digits)))


def parted_attributes(label: AnyLabel) -> tuple[dict[str, Any], dict[str, bool]]:
    """Return the attributes without the flags, and the flags; a flag that is no truth value stays an attribute."""
    given, flags = label.attributes, {}
    if isinstance(given, dict):
        attributes = given
        for name, flag in _FLAGS.items():
            if name in given and (said := answer(given[name])) is not None:
                flags[flag] = said
                del given[name]
    else:
        attributes = {} if given is None else {"attributes": given}
    if label.score is not None:
        attributes["score"] = label.score
    return attributes, flags


def _box(box: Any, options: ReadOptions) -> Box:
    if not isinstance(box, Box2d):
        raise LabelError(reasons.BOX_NOT_NUMBERS)
    far = reasons.FARTHEST
    if not (-far <= box.x1 <= far and -far <= box.y1 <= far and -far <= box.x2 <= far and -far <= box.y2 <= far):
        raise LabelError(reasons.TOO_FAR)
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        raise LabelError(reasons.BOX_WITHOUT_AREA)
    if options.boxes == "leave_out":
        raise LabelError(reasons.BOX_LEFT_OUT)
    return Box(box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)


def _rings(label: AnyLabel, meant: Meaning, tolerance: float) -> tuple[Ring, ...]:
    """Return a ring for each polygon of the label that encloses area; for lanes, the ribbon along each line."""
    line = is_line(meant.category)
    rings = []
    for vertices, types in paths(bytes(label.poly2d)):
        path = _flattened(vertices, types, not line, tolerance)
        ring = _ribbon(path) if line else polygon.clean(path)
        if ring is not None and polygon.encloses_area(ring):
            rings.append(ring)
    if not rings:
        raise LabelError(reasons.LINE_WITHOUT_LENGTH if line else reasons.POLYGON_WITHOUT_AREA)
    return tuple(rings)


def paths(text: bytes) -> list[tuple[Vertices, str | None]]:
    """Return vertices and letters of each path: 2018 per image one flat list, otherwise a list of objects.

    Raises LabelError where it is neither.
    """
    try:
        if text[1:].lstrip().startswith(b"{"):
            return [(path.vertices, path.types) for path in _poly2d.decode(text)]
        points = _path.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LabelError(reasons.POLYGON_MALFORMED) from None
    return [([(x, y) for x, y, _ in points], "".join(letter for _, _, letter in points))]


def _flattened(vertices: Vertices, types: str | None, closed: bool, tolerance: float) -> NDArray[np.float64]:
    points = np.array(vertices, np.float64).reshape(-1, 2)
    if len(points) and not (np.abs(points) <= reasons.FARTHEST).all():
        raise LabelError(reasons.TOO_FAR)
    try:
        return curves.flatten(polygon.rounded(points), types, closed, tolerance)
    except ValueError:
        raise LabelError(reasons.POLYGON_MALFORMED) from None


def _ribbon(path: NDArray[np.float64]) -> Ring | None:
    moved = np.append(True, (path[1:] != path[:-1]).any(axis=1)) if len(path) else np.zeros(0, bool)
    line = path[moved]
    return polygon.ribbon(line, LINE_WIDTH) if len(line) > 1 else None


def _traced(text: msgspec.Raw) -> tuple[tuple[Ring, ...], tuple[int, int]]:
    try:
        return run_length_outlines(_run_lengths.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LabelError(reasons.MASK_MALFORMED) from None


def run_length_outlines(mask: RunLengths) -> tuple[tuple[Ring, ...], tuple[int, int]]:
    """Return the outlines of a mask, without its holes, and its width and height; raises LabelError without any."""
    height, width = mask.size
    try:
        rings = masks.trace(masks.decode(mask.counts, height, width))
    except (ValueError, OverflowError):
        raise LabelError(reasons.MASK_MALFORMED) from None
    if not rings:
        raise LabelError(reasons.MASK_EMPTY)
    return tuple(rings), (width, height)
