"""The label file of one split of an `images.zip` (VIA 1 or 2), read into instances, regions as `readers` take them.

Unlike theirs, a class keeps its word: an archive's classes are those of the model that is trained on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pipeline.errors import LabelFileError
from pipeline.formats.options import ReadOptions
from pipeline.formats.via import reading as via_files
from pipeline.formats.via.classes import Options, declared_options, find_rule
from pipeline.formats.via.reading import regions_of
from pipeline.formats.via.regions import RegionReading
from pipeline.instances import reasons
from pipeline.instances.records import Instance
from pipeline.recipe.categories import AnyWord

NO_ATTRIBUTES: dict[str, Any] = {}

_Raw = Mapping[str, msgspec.Raw]


@dataclass(frozen=True)
class LabelledEntry:
    """What a label file says of an image; sides are 0 where it doesn't say them."""

    filename: str
    width: int
    height: int
    instances: tuple[Instance, ...]
    left_out: list[tuple[str, str]]
    """Regions that can't be used, and why."""


def read(content: bytes, where: str, class_attribute: str | None = None) -> Iterator[LabelledEntry]:
    """Yield the images of VIA annotations, or of a whole VIA project; regions of a class that share `instance` are one.

    Raises LabelFileError, naming the file as `where`, for JSON that is cut in half, COCO, or not VIA's.
    """
    raw, declared = _members(content, where)
    if raw and not any(_is_entry(_decoded(value, where)) for value in raw.values()):
        raise LabelFileError(f"{where}: isn't VIA 1 or 2 JSON: no entry has a filename or regions")
    entries = ((key, _decoded(value, where)) for key, value in raw.items())
    attributes = (region.attributes for _, entry in entries for region in regions_of(entry) or ())
    of_regions = (each for each in attributes if isinstance(each, dict))
    options = ReadOptions(wanted=AnyWord(), class_attribute=class_attribute)
    rule = find_rule(of_regions, options, declared, None)
    for key, value in raw.items():
        entry = _decoded(value, where)
        name = via_files.name_of(key, entry)
        yield _entry(RegionReading(where, name, rule, options, declared), key, entry)


def _members(content: bytes, where: str) -> tuple[_Raw, Options]:
    """Return the entries of a file, not yet decoded, and the options that a project declares."""
    try:
        keys = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
        if "annotations" in keys and "images" in keys:
            raise LabelFileError(f"{where}: is a COCO file under a VIA name; export it from VIA as JSON")
        if "_via_img_metadata" not in keys:
            return keys, {}
        attributes = msgspec.json.decode(keys.get("_via_attributes", b"{}"))
        declared = declared_options(attributes.get("region") if isinstance(attributes, dict) else None)
        return msgspec.json.decode(keys["_via_img_metadata"], type=dict[str, msgspec.Raw]), declared
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelFileError(f"{where}: isn't VIA JSON: {error}") from None


def _decoded(raw: msgspec.Raw, where: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelFileError(f"{where}: isn't VIA JSON: {error}") from None


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and ("filename" in value or "regions" in value)


def _entry(reading: RegionReading, key: str, entry: Any) -> LabelledEntry:
    said = via_files.image(key, entry, reading)
    left_out = [(each.label_id, each.reason) for each in said.rejected]
    # Of millions of instances, which are all held at once, nobody asks for attributes.
    instances = tuple(replace(each, attributes=NO_ATTRIBUTES) for each in said.instances)
    width, height = (_side(entry, key) for key in ("width", "height"))
    return LabelledEntry(said.name, width, height, instances, left_out)


def _side(entry: Any, key: str) -> int:
    side = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(side, bool) or not isinstance(side, int | float):
        return 0
    return int(side) if 0 < side < reasons.FARTHEST else 0
