"""VIA 1 and 2: annotations as they are exported (`{key: {filename, size, regions, file_attributes}}`) and projects.

What becomes of the regions of an image is in `via_regions`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.formats.json_repair import decode
from pipeline.formats.json_stream import Json
from pipeline.formats.rows import Rows, image_attributes, json_of, video_of
from pipeline.formats.via import regions as via_regions
from pipeline.formats.via.classes import Options, declared_options, word_options
from pipeline.formats.via.regions import Region
from pipeline.instances import reasons

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def add(rows: Rows, file: int, whole: Json, is_project: bool) -> Options:
    """Add the images of a VIA file; return the options that it declares, those whose ids are words.

    Raises LabelFileError or NotLabelsError for a project whose annotations are no object, or that has none.
    """
    entries, declared = entries_of(whole, is_project)
    for key, text in entries.items():
        _add_image(rows, file, key, decode(text), declared)
    return word_options(declared)


def entries_of(whole: Json, is_project: bool) -> tuple[Mapping[str, msgspec.Raw], Options]:
    """Return the entries of a file by key, and the options that a project declares; raises what `add` raises."""
    return _project(whole) if is_project else (whole.members, {})


def _project(whole: Json) -> tuple[Mapping[str, msgspec.Raw], Options]:
    """Return a project's entries by key, and the options that it declares for attributes of regions."""
    metadata = whole.members.get("_via_img_metadata")
    if metadata is None:
        raise NotLabelsError(f"{whole.name}: holds no labels: a VIA project without _via_img_metadata")
    attributes: Any = decode(whole.members.get("_via_attributes", msgspec.Raw(b"null")))
    try:
        entries = _members.decode(metadata)
    except msgspec.ValidationError:
        message = f"{whole.name}: _via_img_metadata must be an object, an entry an image"
        raise LabelFileError(message) from None
    return entries, declared_options(attributes.get("region") if isinstance(attributes, dict) else None)


def _add_image(rows: Rows, file: int, key: str, entry: Any, declared: Options) -> None:
    regions = regions_of(entry) or []
    said = entry.get("file_attributes") if isinstance(entry, dict) else None
    given = [region.given for region in regions]
    rows.begin_image(file, name_of(key, entry), lambda: given, video_of(said), image_attributes(said))
    if not isinstance(entry, dict):
        rows.fault(reasons.FRAME_NOT_OBJECT, json_of({key: entry}))
    elif regions_of(entry) is None:
        rows.fault(reasons.LABELS_NOT_LIST, json_of(entry.get("regions")))
    via_regions.add(rows, regions, declared)


def name_of(key: str, entry: Any) -> str:
    """Return the image's name; where the entry has none, its key without the size at the end."""
    if not isinstance(entry, dict):
        return key
    name = entry.get("filename")
    if isinstance(name, str) and name.strip():
        return name
    size = entry.get("size")
    return key.removesuffix(str(size)) if isinstance(size, int) else key


def regions_of(entry: Any) -> list[Region] | None:
    """Return the regions of an entry, an object in VIA 1 and a list in VIA 2; None where they are neither."""
    regions = entry.get("regions") if isinstance(entry, dict) else None
    if regions is None:
        return []
    if not isinstance(regions, dict | list):
        return None
    numbered = regions.items() if isinstance(regions, dict) else enumerate(regions)
    return [_region(str(number), region) for number, region in numbered]


def _region(number: str, region: Any) -> Region:
    if not isinstance(region, dict):
        return Region(number, region, None, region)
    return Region(number, region.get("shape_attributes"), region.get("region_attributes"), region)
