"""Detection of label formats by the content of a file, never by its name."""

from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from mrcnn.data.decoding import PNG_START
from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.formats.json_text import Json, elements, first_byte

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])

FRAME_KEYS = frozenset({"labels", "videoName", "frameIndex", "timestamp", "url"})
NAMING_KEYS = frozenset({"name", "url"})
"""Keys that name the image of a frame."""
CSV_STARTS = (b"filename", b"#filename", b"# Exported")
"""The first words of the CSV files of VIA 2, 1 and 3."""
GZIP_START = b"\x1f"
LOOKED_AT = 20
"""Elements of a list in which the keys of frames are searched."""


class Format(Enum):
    """The formats of label files."""

    FRAMES = "list of BDD frames (2018 consolidated, or 2020)"
    WRAPPED_FRAMES = "BDD frames in a wrapper (2020)"
    FRAME = "a single BDD frame (2020)"
    PER_IMAGE = "BDD labels of one image (2018)"
    VIA_METADATA = "VIA 1 or 2 annotations"
    VIA_PROJECT = "VIA 2 project"
    VIA3_PROJECT = "VIA 3 project"
    COCO = "COCO instances"
    LABELME = "labelme annotations of one image"
    BITMASK = "BDD bitmask (PNG)"


SURE_KEYS = {
    **dict.fromkeys((("_via_img_metadata", b"{"), ("_via_settings", b"{")), Format.VIA_PROJECT),
    **dict.fromkeys((("images", b"["), ("annotations", b"["), ("categories", b"[")), Format.COCO),
}
"""Keys of an object, with the first byte of their value, that settle its format."""


def detect(start: bytes, name: str) -> Format | None:
    """Return the format of a label file by its first bytes; None where it may be JSON, which `detect_json` is for.

    Raises LabelFileError and NotLabelsError for what is neither; `name` is the name of the file in messages.
    """
    first = start.lstrip()[:1]
    if first == PNG_START[:1]:
        return Format.BITMASK
    if first == GZIP_START:
        raise LabelFileError(f"{name}: is packed by gzip; unpack it, or give a zip")
    if start.removeprefix(BOM_UTF8).lstrip().startswith(CSV_STARTS):
        raise NotLabelsError(
            f"{name}: holds no labels that are read: it is VIA's CSV; export the annotations as JSON, or save the "
            "project"
        )
    return None


def detect_json(content: Json) -> Format:
    """Return the format of a JSON file; raises NotLabelsError where it holds no labels."""
    if isinstance(content.parts, list):
        return _of_list(content.parts, content.name)
    if isinstance(content.parts, dict):
        return _of_object(content.parts, content.name)
    raise NotLabelsError(f"{content.name}: holds no labels: its JSON is neither a list nor an object")


def _of_list(elements: Sequence[msgspec.Raw], name: str) -> Format:
    for element in elements[:LOOKED_AT]:
        keys = _keys(element)
        if keys & FRAME_KEYS or keys == {"name"} or {"name", "attributes"} <= keys:
            return Format.FRAMES
        if {"image_id", "category_id"} <= keys:
            raise NotLabelsError(
                f"{name}: holds no labels: it is a list of COCO results, which names neither images nor "
                "categories; give COCO's instances file"
            )
    if elements:
        raise NotLabelsError(f"{name}: holds no labels: a JSON list, but not of BDD frames")
    return Format.FRAMES


def _of_object(members: Mapping[str, msgspec.Raw], name: str) -> Format:
    starts = {key: first_byte(value) for key, value in members.items()}
    if starts.get("shapes") == b"[" and "imagePath" in members:
        return Format.LABELME
    for key, start in starts.items():
        if sure := SURE_KEYS.get((key, start)):
            return sure
        if start == b"[" and key == "frames":
            return _of_frames(members[key], "name" in members)
        inner = _keys(members[key])
        if key == "project" and inner & {"pid", "data_format_version", "vid_list"}:
            return Format.VIA3_PROJECT
        if inner & {"regions", "filename"}:
            return Format.VIA_METADATA
    if "labels" in members and members.keys() & NAMING_KEYS:
        return Format.FRAME
    if members and members.keys() <= {"region", "file"}:
        raise NotLabelsError(f"{name}: holds no labels: VIA's list of attributes, not its annotations")
    raise NotLabelsError(f"{name}: holds no labels: JSON, but of neither BDD, VIA, COCO nor labelme")


def _of_frames(frames: msgspec.Raw, named: bool) -> Format:
    listed = elements(frames)
    if not listed:
        return Format.PER_IMAGE if named else Format.WRAPPED_FRAMES
    keys = _keys(listed[0])
    is_per_image = "objects" in keys or (named and "labels" not in keys)
    return Format.PER_IMAGE if is_per_image else Format.WRAPPED_FRAMES


def _keys(value: msgspec.Raw) -> set[str]:
    """Return the keys of an object; none of anything else."""
    return set(_object.decode(value)) if first_byte(value) == b"{" else set()
