"""VIA 1 and 2: annotations as they are exported (`{key: {filename, size, regions, file_attributes}}`) and projects.

What becomes of the regions of an image is in `via_regions`, of their class in `via_classes`.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.formats.json_stream import JsonStream, decode
from pipeline.formats.options import ReadOptions
from pipeline.formats.repeated_keys import Pairs, count, with_own_keys
from pipeline.formats.via.classes import declared_options, find_rule
from pipeline.formats.via.regions import Region, RegionReading
from pipeline.instances import reasons
from pipeline.instances.records import LabelledImage

Opened = Callable[[], AbstractContextManager[JsonStream]]
"""Opens the file from its start."""

Declared = dict[str, Mapping[str, str]]
"""Options of attributes, as they are found."""

_entries = msgspec.json.Decoder(dict[str, Any])


def read(opened: Opened, options: ReadOptions, project: bool) -> Iterator[LabelledImage]:
    """Yield the images of a VIA file, which is read twice: first to find how it gives the class of its regions."""
    declared: Declared = {}
    with opened() as stream:
        attributes = (
            region.attributes
            for _, entry in entries_of(stream, project, declared)
            for region in regions_of(entry) or ()
            if isinstance(region.attributes, dict)
        )
        rule = find_rule(attributes, options, declared, stream.name)
    with opened() as stream:
        for key, entry in entries_of(stream, project, {}):
            yield image(key, entry, RegionReading(stream.name, name_of(key, entry), rule, options, declared))


def entries_of(stream: JsonStream, project: bool, declared: Declared) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a whole file by key; the options that a project declares are added to `declared`.

    Raises LabelFileError where it is not JSON, or something follows; NotLabelsError for a project without annotations.
    """
    yield from _project_metadata(stream, declared) if project else _metadata(stream)
    stream.end()


def image(key: str, entry: Any, reading: RegionReading) -> LabelledImage:
    """Return the image that an entry describes, as far as it is sound."""
    regions = regions_of(entry)
    if not isinstance(entry, dict):
        reading.reject("", reasons.FRAME_NOT_OBJECT, {key: entry})
        return reading.image(None)
    if regions is None:
        reading.reject("", reasons.LABELS_NOT_LIST, entry.get("regions"))
    reading.add(regions or ())
    return reading.image(entry.get("file_attributes"))


def _metadata(stream: JsonStream) -> Iterator[tuple[str, Any]]:
    for block in stream.blocks(_decoded):
        yield from block.items()


def _decoded(text: bytes) -> dict[str, Any]:
    """Return entries by key; of those, and of regions, that share a key, none is lost."""
    entries = _entries.decode(text)
    sound = [entry for entry in entries.values() if isinstance(entry, dict)]
    regions = [region for entry in sound for region in _values(entry.get("regions")) if isinstance(region, dict)]
    of_kinds = {"filename": sound, "regions": sound, "shape_attributes": regions}
    if all(count(text, key) <= sum(key in each for each in of_kind) for key, of_kind in of_kinds.items()):
        return entries
    kept = json.loads(text, object_pairs_hook=_each_with_a_key)
    return kept if isinstance(kept, dict) else entries


def _each_with_a_key(pairs: Pairs) -> dict[str, Any]:
    """Return an object whose entries or regions all have keys of their own; of anything else the last one counts.

    Of an image's entries the first will count, as where they stand in different blocks or lists.
    """
    members = with_own_keys(
        [(key, _with_its_name(key, value)) for key, value in pairs], ("filename", "shape_attributes")
    )
    given = [value for key, value in pairs if key == "regions"]
    if len(given) > 1:
        members["regions"] = [region for value in given for region in _values(value, [] if value is None else [value])]
    return members


def _with_its_name(key: str, value: Any) -> Any:
    """Return an entry with the name that its key says, where it has none: it may get another key."""
    if isinstance(value, dict) and "regions" in value and "filename" not in value:
        return {"filename": name_of(key, value), **value}
    return value


def _values(regions: Any, others: Collection[Any] = ()) -> Collection[Any]:
    """Return the regions of an entry, `others` where they are neither an object nor a list."""
    return regions.values() if isinstance(regions, dict) else regions if isinstance(regions, list) else others


def _project_metadata(stream: JsonStream, declared: Declared) -> Iterator[tuple[str, Any]]:
    annotated = False
    for key in stream.members():
        if key == "_via_img_metadata":
            annotated = True
            if stream.peek() != b"{":
                raise LabelFileError(f"{stream.name}: _via_img_metadata must be an object, an entry an image")
            yield from _metadata(stream)
        elif key == "_via_attributes":
            attributes = decode(stream.value(), stream)
            declared.update(declared_options(attributes.get("region") if isinstance(attributes, dict) else None))
        else:
            stream.value()
    if not annotated:
        raise NotLabelsError(f"{stream.name}: holds no labels: a VIA project without _via_img_metadata")


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
