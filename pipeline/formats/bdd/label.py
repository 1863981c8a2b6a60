"""One label of a BDD frame, of any release, to a row: what its keys say, and which of its geometries counts.

Kinds of faults are those of a single label, which never concern its neighbours.
"""

from functools import lru_cache
from typing import Any

import msgspec

from pipeline.formats.json_repair import decode, decode_as
from pipeline.formats.options import answer
from pipeline.formats.rows import Description, Path, Rows
from pipeline.geometry import masks
from pipeline.geometry.curves import check_letters
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import json_text
from pipeline.recipe.categories import DRIVABLE, LANE, canonical, is_line, kind_of

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

NOTHING = tuple(msgspec.Raw(text) for text in (b"", b"null", b"[]", b"{}"))
ABSENT = NOTHING[0]
"""What a label lacks."""


class Box2d(msgspec.Struct, gc=False):
    """Corners in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float


class Poly2d(msgspec.Struct, gc=False):
    """A path: vertices with a letter each; `closed` can't be trusted and is not read."""

    vertices: list[tuple[float, float]]
    types: str | None = None


FlatVertex = tuple[float, float, str]
"""In 2018's files of one image a label is one path: a list of x, y and letter."""


class RunLengths(msgspec.Struct):
    """A COCO mask."""

    counts: str | list[int]
    size: tuple[int, int]


class Label(msgspec.Struct, gc=False):
    """A label of any release, as far as it is read; attributes stay JSON, since few different ones come again."""

    category: str | None = None
    id: str | int | None = None
    attributes: msgspec.Raw = ABSENT
    box2d: Box2d | None = None
    poly2d: list[Poly2d | FlatVertex] | None = None
    rle: msgspec.Raw = ABSENT
    score: msgspec.Raw = ABSENT


class LooseLabel(msgspec.Struct):
    """A label of which something is not as it should be."""

    category: Any = None
    id: Any = None
    attributes: msgspec.Raw = ABSENT
    box2d: msgspec.Raw = ABSENT
    poly2d: msgspec.Raw = ABSENT
    rle: msgspec.Raw = ABSENT
    score: msgspec.Raw = ABSENT


_label = msgspec.json.Decoder(Label)
_loose_label = msgspec.json.Decoder(LooseLabel)
_box2d = msgspec.json.Decoder(Box2d)
_poly2d = msgspec.json.Decoder(list[Poly2d | FlatVertex])
_run_lengths = msgspec.json.Decoder(RunLengths)


class Meaning(msgspec.Struct, frozen=True):
    """What a label's category and attributes amount to."""

    description: Description
    is_line: bool


def add_any(rows: Rows, given: msgspec.Raw, position: int) -> None:
    """Add the label at `position` of its image, whatever JSON it is: to the rows, or to those rejected."""
    try:
        add(rows, _label.decode(given), position)
        return
    except msgspec.ValidationError:
        pass
    try:
        loose = decode_as(given, _loose_label)
    except msgspec.ValidationError:
        rows.reject("", reasons.NO_OBJECT)
        return
    word = loose.category if isinstance(loose.category, str) else None
    label_id = text_of_id(loose.id)
    label = Label(word, label_id, loose.attributes, score=loose.score)
    try:
        add(rows, _with_geometry(label, loose), position)
    except LabelError as fault:
        described = meaning(word, bytes(label.attributes), bytes(label.score)).description
        rows.reject(label_id or f"#{position}", fault.reason, described)


def add(rows: Rows, label: Label, position: int) -> None:
    """Add the label at `position` of its image: its polygons, else its mask, else its box as a rectangle."""
    meant = meaning(label.category, bytes(label.attributes), b"" if label.score is ABSENT else bytes(label.score))
    label_id = str(label.id) if label.id is not None and label.id != "" else f"#{position}"
    if meant.description.category is None:
        rows.reject(label_id, reasons.NO_CATEGORY, meant.description)
    elif label.poly2d:
        _add_paths(rows, label_id, meant, label.poly2d)
    elif label.rle is not ABSENT and label.rle not in NOTHING:
        _add_mask(rows, label_id, meant.description, label.rle)
    elif box := label.box2d:
        rows.add_box(label_id, meant.description, (box.x1, box.y1, box.x2, box.y2))
    else:
        rows.reject(label_id, reasons.NO_GEOMETRY, meant.description)


@lru_cache(maxsize=10_000)
def meaning(word: str | None, attributes: bytes, score: bytes) -> Meaning:
    """Return what a label of this category with these attributes and score (JSON, empty for none) says.

    Its category is None where it has none.
    """
    said, flags = _parted(decode(attributes) if attributes else None)
    kind = said.get(WITH_KIND[word]) if word in WITH_KIND else None
    if score not in (b"", b"null"):
        said["score"] = decode(score)
    if word is None or not word or word.isspace():
        return Meaning(Description(None, attributes=json_text(said)), is_line=False)
    kind = kind if isinstance(kind, str) else None
    described = Description(
        word,
        kind,
        json_text(said),
        crowd=flags.get("crowd", False),
        ignored=flags.get("ignored", False),
        occluded=flags.get("occluded"),
        truncated=flags.get("truncated"),
    )
    return Meaning(described, is_line(kind_of(canonical(word), kind)))


def text_of_id(value: Any) -> str:
    """Return a label's id as text; empty where it has none."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    return "" if value is None or isinstance(value, bool) else msgspec.json.encode(value).decode()


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


def _with_geometry(label: Label, loose: LooseLabel) -> Label:
    """Return the label with the geometry that counts; raises LabelError where that is malformed."""
    if loose.poly2d not in NOTHING:
        label.poly2d = _fitted(loose.poly2d, _poly2d, reasons.POLYGON_MALFORMED)
    elif loose.rle not in NOTHING:
        label.rle = loose.rle
    elif loose.box2d not in (ABSENT, NOTHING[1]):
        label.box2d = _fitted(loose.box2d, _box2d, reasons.BOX_NOT_NUMBERS)
    return label


def _fitted(text: msgspec.Raw, decoder: "msgspec.json.Decoder[Any]", reason: str) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LabelError(reason) from None


def _add_paths(rows: Rows, label_id: str, meant: Meaning, given: list[Poly2d | FlatVertex]) -> None:
    paths = _paths(given)
    if paths is None:
        rows.reject(label_id, reasons.POLYGON_MALFORMED, meant.description)
    else:
        rows.add_paths(label_id, meant.description, paths, meant.is_line)


def _paths(given: list[Poly2d | FlatVertex]) -> list[Path] | None:
    """Return vertices and letters of each path; None where they don't fit."""
    try:
        paths: list[Path] = [(path.vertices, path.types) for path in given]  # type: ignore[union-attr]
    except AttributeError:  # vertices among them: all must be
        if not all(isinstance(vertex, tuple) for vertex in given):
            return None
        paths = [([(x, y) for x, y, _ in given], "".join(letter for _, _, letter in given))]  # type: ignore[misc]
    try:
        for vertices, letters in paths:
            check_letters(len(vertices), letters)
    except ValueError:
        return None
    return paths


def _add_mask(rows: Rows, label_id: str, description: Description, text: msgspec.Raw) -> None:
    try:
        rings, size = run_length_outlines(_fitted(text, _run_lengths, reasons.MASK_MALFORMED))
    except LabelError as fault:
        rows.reject(label_id, fault.reason, description)
    else:
        rows.add_rings(label_id, description, rings, "rle", size)


def _parted(given: Any) -> tuple[dict[str, Any], dict[str, bool]]:
    """Return the attributes without the flags, and the flags; a flag that is no truth value stays an attribute."""
    if not isinstance(given, dict):
        return {} if given is None else {"attributes": given}, {}
    flags: dict[str, bool] = {}
    for name, flag in _FLAGS.items():
        if name in given and (said := answer(given[name])) is not None:
            flags[flag] = said
            del given[name]
    return given, flags
