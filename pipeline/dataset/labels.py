"""The label file of one split of an `images.zip` (VIA 1 or 2), read into instances, regions as `readers` take them.

Unlike theirs, a class keeps its word: an archive's classes are those of the model that is trained on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.errors import LabelFileError
from pipeline.formats.via import reading
from pipeline.formats.via.reading import regions_of
from pipeline.formats.via.regions import (
    Options,
    declared_options,
    geometry_of,
    outline,
    text_of,
    with_option_texts,
    word_options,
)
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import Instance
from pipeline.labels.classes import ClassRule, Region, find_rule, joined, parted
from pipeline.recipe.categories import AnyWord

CURVE_TOLERANCE = 0.5
"""Pixels by which the polygon in the place of a round shape may be off."""
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
    attributes = (
        _attributes(region.attributes, declared) for _, entry in entries for region in regions_of(entry) or ()
    )
    rule = find_rule(attributes, AnyWord(), word_options(declared), None, class_attribute)
    for key, value in raw.items():
        yield _entry(key, _decoded(value, where), rule, declared)


def _attributes(given: Any, declared: Options) -> Mapping[str, Any]:
    return with_option_texts(given if isinstance(given, dict) else {}, declared)


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


def _entry(key: str, entry: Any, rule: ClassRule, declared: Options) -> LabelledEntry:
    regions: list[Region] = []
    rings: list[Ring] = []
    given_regions = regions_of(entry)
    left_out = [("", reasons.LABELS_NOT_LIST)] if given_regions is None else []
    if not isinstance(entry, dict):
        left_out = [("", reasons.FRAME_NOT_OBJECT)]
    for region in given_regions or ():
        given = _attributes(region.attributes, declared)
        try:
            word = rule.name_of(given)
            ring, kind = outline(region.shape, CURVE_TOLERANCE)
        except LabelError as fault:
            left_out.append((region.id, fault.reason))
            continue
        part_of, geometry = text_of(given.get("instance")), geometry_of(given, kind, ring)
        regions.append(Region(region.id, part_of, word, geometry, *parted(given, rule.key_of(given)), [len(rings)]))
        rings.append(ring)
    instances = tuple(_instance(region, [rings[row] for row in region.rows]) for region in joined(regions))
    width, height = (_side(entry, key) for key in ("width", "height"))
    return LabelledEntry(reading.name_of(key, entry), width, height, instances, left_out)


def _instance(region: Region, rings: list[Ring]) -> Instance:
    """Return an instance; of its attributes nobody asks."""
    return Instance(
        id=region.id,
        category=region.category,
        rings=tuple(rings),
        box=polygon.bounds(rings),
        geometry=region.geometry,
        crowd=region.flags.get("crowd", False),
        ignored=region.flags.get("ignored", False),
        occluded=region.flags.get("occluded"),
        truncated=region.flags.get("truncated"),
    )


def _side(entry: Any, key: str) -> int:
    side = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(side, bool) or not isinstance(side, int | float):
        return 0
    return int(side) if 0 < side < reasons.FARTHEST else 0
