"""BDD100K's JSON labels of every release: lists of frames, wrappers, single frames, and 2018's files of one image."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import msgspec

from pipeline.formats.json_text import decode, decode_as, elements, first_byte
from pipeline.formats.label_values import RunLengths, id_text, image_attributes, split_flags, trace_run_lengths
from pipeline.formats.table_builder import Description, Path, TableBuilder, Tables
from pipeline.geometry.curves import check_letters
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import json_text
from pipeline.recipe.categories import DRIVABLE, LANE, canonical, is_line, kind_of

KIND_ATTRIBUTES = {DRIVABLE: "areaType", LANE: "laneType"}
"""Attributes of 2018 whose values are categories of their own in 2020."""

ABSENT, NULL = msgspec.Raw(b""), msgspec.Raw(b"null")
EMPTY = (ABSENT, NULL, msgspec.Raw(b"[]"), msgspec.Raw(b"{}"))


class Box2d(msgspec.Struct, gc=False):
    """Corners in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float


class Poly2d(msgspec.Struct, gc=False):
    """A path: vertices with a letter each; `closed` is wrong in official files, and is not read."""

    vertices: list[tuple[float, float]]
    types: str | None = None


FlatVertex = tuple[float, float, str]
"""In 2018's files of one image a label is one path: a list of x, y and letter."""


class Label(msgspec.Struct, gc=False):
    """A label of any release; attributes stay JSON, since few different ones are repeated many times."""

    category: str | None = None
    id: str | int | None = None
    attributes: msgspec.Raw = ABSENT
    box2d: Box2d | None = None
    poly2d: list[Poly2d | FlatVertex] | None = None
    rle: msgspec.Raw = ABSENT
    score: msgspec.Raw = ABSENT


class Frame(msgspec.Struct, gc=False):
    """A frame whose labels can all be decoded."""

    name: str | None = None
    url: str | None = None
    videoName: str | None = None  # noqa: N815 (the file's own key)
    attributes: msgspec.Raw = ABSENT
    labels: list[Label] | None = None


class LooseLabel(msgspec.Struct):
    """A label with values of any type."""

    category: Any = None
    id: Any = None
    attributes: msgspec.Raw = ABSENT
    box2d: msgspec.Raw = ABSENT
    poly2d: msgspec.Raw = ABSENT
    rle: msgspec.Raw = ABSENT
    score: msgspec.Raw = ABSENT


class LooseFrame(msgspec.Struct):
    """A frame with values of any type; 2018's file of one image has `frames` with `objects` instead of labels."""

    name: Any = None
    url: Any = None
    videoName: Any = None  # noqa: N815
    attributes: msgspec.Raw = ABSENT
    labels: msgspec.Raw = ABSENT
    frames: msgspec.Raw = ABSENT
    objects: msgspec.Raw = ABSENT


_frames = msgspec.json.Decoder(list[Frame])
_loose_frame = msgspec.json.Decoder(LooseFrame)
_label = msgspec.json.Decoder(Label)
_loose_label = msgspec.json.Decoder(LooseLabel)
_box2d = msgspec.json.Decoder(Box2d)
_poly2d = msgspec.json.Decoder(list[Poly2d | FlatVertex])
_run_lengths = msgspec.json.Decoder(RunLengths)


def tables_of_frames(curve_tolerance: float, file: int, text: bytes) -> Tables:
    """Return the tables of a JSON list of frames of the label file of this number."""
    builder = TableBuilder(curve_tolerance)
    add_frames(builder, file, text)
    return builder.build()


def add_frames(builder: TableBuilder, file: int, text: bytes) -> None:
    """Add the images of a JSON list of frames of the label file of this number."""
    try:
        frames = _frames.decode(text)
    except msgspec.ValidationError:
        for frame_text in elements(text):
            _add_loose_frame(builder, file, frame_text)
        return
    frame_texts = cache(partial(elements, text))
    for number, frame in enumerate(frames):
        _add_image(builder, file, frame, partial(_labels_of, frame_texts, number))
        for position, label in enumerate(frame.labels or ()):
            _add_label(builder, label, position)


def add_image_file(builder: TableBuilder, file: int, text: memoryview) -> None:
    """Add the image of a 2018 file of one image; of several frames (no file is known) the objects are all its own."""
    image = decode_as(text, _loose_frame)
    frames = elements(image.frames) if first_byte(image.frames) == b"[" else []
    objects = [decode_as(each, _loose_frame).objects if first_byte(each) == b"{" else each for each in frames]
    _add_loose_image(builder, file, image, objects)


def _add_loose_frame(builder: TableBuilder, file: int, text: msgspec.Raw) -> None:
    """Add the image of a frame that may have any fault."""
    try:
        frame = decode_as(text, _loose_frame)
    except msgspec.ValidationError:
        builder.add_image(file, "", list)
        builder.reject_image(reasons.FRAME_NOT_OBJECT, text)
    else:
        _add_loose_image(builder, file, frame, [frame.labels])


def _add_loose_image(builder: TableBuilder, file: int, frame: LooseFrame, lists: Sequence[msgspec.Raw]) -> None:
    """Add an image with lists of labels that may have any fault, which never concerns the others."""
    labels: list[msgspec.Raw] = []
    _add_image(builder, file, frame, lambda: labels)
    for each in lists:
        labels += _listed(builder, each)
    for position, text in enumerate(labels):
        try:
            _add_label(builder, _label.decode(text), position)
        except msgspec.ValidationError:
            _add_loose_label(builder, text, position)


def _add_image(
    builder: TableBuilder, file: int, frame: Frame | LooseFrame, source_labels: Callable[[], Sequence[Any]]
) -> None:
    names = (name for name in (frame.name, frame.url) if isinstance(name, str) and name.strip())
    video, attributes = _image_attributes(bytes(frame.attributes))
    own_video = frame.videoName if isinstance(frame.videoName, str) else None
    builder.add_image(file, next(names, ""), source_labels, own_video or video, attributes)


@lru_cache(maxsize=10_000)
def _image_attributes(text: bytes) -> tuple[str | None, str]:
    return image_attributes(decode(text) if text else None)


def _labels_of(frame_texts: Callable[[], Sequence[msgspec.Raw]], number: int) -> list[bytes]:
    """Return the labels of a frame as the file has them."""
    frame = _loose_frame.decode(frame_texts()[number])
    return [bytes(label) for label in elements(frame.labels)]


def _listed(builder: TableBuilder, labels: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the labels in a list; what is no list is a fault of the image."""
    if labels in (ABSENT, NULL):
        return []
    try:
        return elements(labels)
    except msgspec.ValidationError:
        builder.reject_image(reasons.LABELS_NOT_LIST, labels)
        return []


def _add_loose_label(builder: TableBuilder, text: msgspec.Raw, position: int) -> None:
    try:
        loose = decode_as(text, _loose_label)
    except msgspec.ValidationError:
        builder.reject("", reasons.NO_OBJECT)
        return
    word, label_id = loose.category if isinstance(loose.category, str) else None, id_text(loose.id)
    label = Label(word, label_id, loose.attributes, score=loose.score)
    try:
        _set_geometry(label, loose)
    except LabelError as fault:
        builder.reject(label_id or f"#{position}", fault.reason, _described(label)[0])
    else:
        _add_label(builder, label, position)


def _set_geometry(label: Label, loose: LooseLabel) -> None:
    """Decode the geometry that counts; raises LabelError where it is malformed."""
    if loose.poly2d not in EMPTY:
        label.poly2d = _decoded(loose.poly2d, _poly2d, reasons.POLYGON_MALFORMED)
    elif loose.rle not in EMPTY:
        label.rle = loose.rle
    elif loose.box2d not in (ABSENT, NULL):
        label.box2d = _decoded(loose.box2d, _box2d, reasons.BOX_NOT_NUMBERS)


def _decoded(text: msgspec.Raw, decoder: "msgspec.json.Decoder[Any]", reason: str) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LabelError(reason) from None


def _add_label(builder: TableBuilder, label: Label, position: int) -> None:
    """Add the label at `position` of its image: its polygons, else its mask, else its box."""
    description, is_line_marking = _described(label)
    label_id = str(label.id) if label.id is not None and label.id != "" else f"#{position}"
    if description.category is None:
        builder.reject(label_id, reasons.NO_CATEGORY, description)
    elif label.poly2d:
        paths = _paths(label.poly2d)
        if paths is None:
            builder.reject(label_id, reasons.POLYGON_MALFORMED, description)
        else:
            builder.add_paths(label_id, description, paths, is_line_marking)
    elif label.rle is not ABSENT and label.rle not in EMPTY:
        _add_mask(builder, label_id, description, label.rle)
    elif box := label.box2d:
        builder.add_box(label_id, description, (box.x1, box.y1, box.x2, box.y2))
    else:
        builder.reject(label_id, reasons.NO_GEOMETRY, description)


def _described(label: Label) -> tuple[Description, bool]:
    """Return the description of a label, and whether it is a line; its category is None where it has none."""
    return _description(label.category, bytes(label.attributes), bytes(label.score))


@lru_cache(maxsize=10_000)
def _description(word: str | None, attributes_text: bytes, score: bytes) -> tuple[Description, bool]:
    flags, attributes = split_flags(decode(attributes_text) if attributes_text else None)
    kind = attributes.get(KIND_ATTRIBUTES[word]) if word in KIND_ATTRIBUTES else None
    kind = kind if isinstance(kind, str) else None
    if score not in (b"", b"null"):
        attributes["score"] = decode(score)
    if word is None or not word.strip():
        return Description(None, attributes=json_text(attributes)), False
    return Description(word, kind, json_text(attributes), **flags), is_line(kind_of(canonical(word), kind))


def _paths(poly2d: list[Poly2d | FlatVertex]) -> list[Path] | None:
    """Return vertices and letters of each path; None where they don't fit."""
    flat = [each for each in poly2d if isinstance(each, tuple)]
    paths: list[Path] = [(each.vertices, each.types) for each in poly2d if isinstance(each, Poly2d)]
    if flat and paths:
        return None
    if flat:
        paths = [([(x, y) for x, y, _ in flat], "".join(letter for _, _, letter in flat))]
    try:
        for vertices, letters in paths:
            check_letters(len(vertices), letters)
    except ValueError:
        return None
    return paths


def _add_mask(builder: TableBuilder, label_id: str, description: Description, text: msgspec.Raw) -> None:
    try:
        rings, size = trace_run_lengths(_decoded(text, _run_lengths, reasons.MASK_MALFORMED))
    except LabelError as fault:
        builder.reject(label_id, fault.reason, description)
    else:
        builder.add_rings(label_id, description, rings, "rle", size)
