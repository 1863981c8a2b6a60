"""VIA 1 and 2 files to rows: annotations (`{key: {filename, size, regions, file_attributes}}`) and projects."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.formats.json_text import Json, decode
from pipeline.formats.label_values import image_attributes
from pipeline.formats.table_builder import TableBuilder
from pipeline.formats.via import regions as via_regions
from pipeline.formats.via.regions import Options, declared_options, word_options
from pipeline.instances import reasons

LARGEST_FILE = 1 << 40
"""Bytes that an image file may have."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def add(builder: TableBuilder, file: int, content: Json) -> Options:
    """Add the images of a VIA file; return the options that it declares whose ids are words.

    Raises LabelFileError or NotLabelsError for a project whose annotations are no object, or that has none.
    """
    entries, options = entries_of(content)
    for key, text in entries.items():
        _add_image(builder, file, key, decode(text), options)
    return word_options(options)


def entries_of(content: Json) -> tuple[Mapping[str, msgspec.Raw], Options]:
    """Return the entries of a file by key, and the options that a project declares; raises what `add` raises."""
    members = content.members
    if not {"_via_img_metadata", "_via_settings"} & members.keys():
        return members, {}
    if "_via_img_metadata" not in members:
        raise NotLabelsError(f"{content.name}: holds no labels: a VIA project without _via_img_metadata")
    attributes: Any = decode(members.get("_via_attributes", b"null"))
    try:
        entries = _members.decode(members["_via_img_metadata"])
    except msgspec.ValidationError:
        raise LabelFileError(f"{content.name}: _via_img_metadata must be an object, an entry an image") from None
    return entries, declared_options(attributes.get("region") if isinstance(attributes, dict) else None)


def _add_image(builder: TableBuilder, file: int, key: str, entry: Any, options: Options) -> None:
    regions = regions_of(entry)
    attributes = entry.get("file_attributes") if isinstance(entry, dict) else None
    sources = list((regions or {}).values())
    builder.add_image(file, name_of(key, entry), lambda: sources, *image_attributes(attributes))
    size = entry.get("size") if isinstance(entry, dict) else None
    if type(size) is int and 0 < size <= LARGEST_FILE:  # neither true nor false
        builder.set_file_size(size)
    if not isinstance(entry, dict):
        builder.reject_image(reasons.FRAME_NOT_OBJECT, {key: entry})
    elif regions is None:
        builder.reject_image(reasons.LABELS_NOT_LIST, entry["regions"])
    via_regions.add(builder, regions or {}, options)


def name_of(key: str, entry: Any) -> str:
    """Return the image's name; where the entry has none, its key without the size at the end."""
    if not isinstance(entry, dict):
        return key
    name = entry.get("filename")
    if isinstance(name, str) and name.strip():
        return name
    size = entry.get("size")
    return key.removesuffix(str(size)) if isinstance(size, int) else key


def regions_of(entry: Any) -> dict[str, Any] | None:
    """Return the regions of an entry by key (VIA 1) or place in the list (VIA 2); None where they are neither."""
    regions = entry.get("regions") if isinstance(entry, dict) else None
    if isinstance(regions, list):
        return {str(number): region for number, region in enumerate(regions)}
    return {} if regions is None else regions if isinstance(regions, dict) else None
