"""Tells label formats apart by what is in the file, never by its name.

Reading them is done by the module of each format.
"""

from enum import Enum
from typing import Any

from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.files.image_header import PNG_START
from pipeline.formats.json_stream import JsonStream, decode

FRAME_KEYS = frozenset({"labels", "videoName", "frameIndex", "timestamp", "url"})
NAMING_KEYS = frozenset({"name", "url"})
"""Keys under which a frame says of which image it is."""
CSV_STARTS = (b"filename", b"#filename")
"""The first words of the CSV files of VIA 2 and 1; that of VIA 3 begins with `# Exported using VGG Image Annotator`."""
GZIP_START = b"\x1f"
LOOKED_AT = 20
"""Elements of a list that are looked at before it is called no label file."""


class Format(Enum):
    """What a label file is."""

    FRAMES = "list of BDD frames (2018 consolidated, or 2020)"
    WRAPPED_FRAMES = "BDD frames in a wrapper (2020)"
    FRAME = "a single BDD frame (2020)"
    PER_IMAGE = "BDD labels of one image (2018)"
    VIA_METADATA = "VIA 1 or 2 annotations"
    VIA_PROJECT = "VIA 2 project"
    VIA3_PROJECT = "VIA 3 project"
    COCO = "COCO instances"
    BITMASK = "BDD bitmask (PNG)"


TOLD_BY = {
    **dict.fromkeys((("_via_img_metadata", b"{"), ("_via_settings", b"{")), Format.VIA_PROJECT),
    **dict.fromkeys((("images", b"["), ("annotations", b"["), ("categories", b"[")), Format.COCO),
}
"""Keys of a file's object that settle its format, with the byte that their value begins with."""


def detect(stream: JsonStream) -> Format:
    """Return the format of a label file whose stream stands at its start.

    Raises LabelFileError for what is not JSON, NotLabelsError for JSON that holds no labels.
    """
    first = stream.peek()
    if first == b"[":
        return _of_list(stream)
    if first == b"{":
        return _of_object(stream)
    if not first:
        raise stream.cut_short()
    if first == PNG_START[:1]:
        return Format.BITMASK
    if first == GZIP_START:
        raise LabelFileError(f"{stream.name}: is packed by gzip; unpack it, or give a zip")
    if first in b"f#" and _is_csv(stream):
        raise NotLabelsError(
            f"{stream.name}: holds no labels that are read: it is VIA's CSV; export the annotations as JSON, or save "
            "the project"
        )
    if first in b'"-0123456789tfn':
        raise NotLabelsError(f"{stream.name}: holds no labels: its JSON is neither a list nor an object")
    raise stream.fault("a label file begins with { or [")


def _is_csv(stream: JsonStream) -> bool:
    start = stream.value()
    return start in CSV_STARTS or (start == b"#" and stream.peek() == b"E" and stream.value() == b"Exported")


def _of_list(stream: JsonStream) -> Format:
    stream.take(b"[")
    if stream.peek() == b"]":
        return Format.FRAMES
    for _ in range(LOOKED_AT):
        keys = _keys(decode(stream.value(), stream))
        if keys & FRAME_KEYS or keys == {"name"} or {"name", "attributes"} <= keys:
            return Format.FRAMES
        if {"image_id", "category_id"} <= keys:
            raise NotLabelsError(
                f"{stream.name}: holds no labels: it is a list of COCO results, which names neither images nor "
                "categories; give COCO's instances file"
            )
        if stream.take(b",]") == b"]":
            break
    raise NotLabelsError(f"{stream.name}: holds no labels: a JSON list, but not of BDD frames")


def _of_object(stream: JsonStream) -> Format:
    seen = set()
    for key in stream.members():
        seen.add(key)
        start = stream.peek()
        if sure := TOLD_BY.get((key, start)):
            return sure
        if start == b"[" and key == "frames":
            return _of_frames(stream, "name" in seen)
        if start in b"[n" and key == "labels" and seen & NAMING_KEYS:
            return Format.FRAME
        inner = _keys(decode(stream.value(), stream)) if start == b"{" else _passed(stream)
        if key == "project" and inner & {"pid", "data_format_version", "vid_list"}:
            return Format.VIA3_PROJECT
        if inner & {"regions", "filename"}:
            return Format.VIA_METADATA
    if "labels" in seen and seen & NAMING_KEYS:
        return Format.FRAME
    if seen and seen <= {"region", "file"}:
        raise NotLabelsError(f"{stream.name}: holds no labels: VIA's list of attributes, not its annotations")
    raise NotLabelsError(f"{stream.name}: holds no labels: JSON, but of neither BDD, VIA nor COCO")


def _of_frames(stream: JsonStream, named: bool) -> Format:
    stream.take(b"[")
    if stream.peek() == b"]":
        return Format.PER_IMAGE if named else Format.WRAPPED_FRAMES
    keys = _keys(decode(stream.value(), stream))
    if "objects" in keys or (named and "labels" not in keys):
        return Format.PER_IMAGE
    return Format.WRAPPED_FRAMES


def _passed(stream: JsonStream) -> set[str]:
    stream.value()
    return set()


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()
