"""The label file of one split of an `images.zip` (VIA 1 or 2), read into instances, regions as `readers` take them.

Unlike theirs, a class keeps its word: an archive's classes are those of the model that is trained on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.errors import LabelFileError
from pipeline.geometry import polygon
from pipeline.instances import Geometry, Instance, Ring
from pipeline.readers import faults
from pipeline.readers.faults import LabelError
from pipeline.readers.flags import answer
from pipeline.readers.options import ReadOptions
from pipeline.readers.via_classes import ClassRule, find_rule, text_of
from pipeline.readers.via_files import name_of, regions_of
from pipeline.readers.via_options import Options, declared_options, spelled_out
from pipeline.readers.via_regions import geometry_of
from pipeline.readers.via_shape import outline

CURVE_TOLERANCE = 0.5
"""Pixels by which the ring of a round shape may be off."""

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
    rule = find_rule(of_regions, ReadOptions(class_attribute=class_attribute), declared, None)
    for key, value in raw.items():
        yield _entry(key, _decoded(value, where), rule, declared)


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
    regions = regions_of(entry)
    left_out = [("", faults.LABELS_NOT_LIST)] if regions is None else []
    parts: dict[tuple[str, str], list[tuple[Ring, Geometry, Mapping[str, Any]]]] = {}
    for region in regions or ():
        attributes = spelled_out(region.attributes if isinstance(region.attributes, dict) else {}, declared)
        try:
            category, (ring, kind) = rule.name_of(attributes), outline(region.shape, CURVE_TOLERANCE)
        except LabelError as fault:
            left_out.append((region.id, fault.reason))
            continue
        instance = text_of(attributes.get("instance")) or f"region {region.id}"
        parts.setdefault((instance, category), []).append((ring, kind, attributes))
    width, height = (_side(entry, key) for key in ("width", "height"))
    instances = tuple(_instance(*which, its) for which, its in parts.items())
    return LabelledEntry(name_of(key, entry), width, height, instances, left_out)


def _side(entry: Any, key: str) -> int:
    side = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(side, bool) or not isinstance(side, int | float):
        return 0
    return int(side) if 0 < side < faults.FARTHEST else 0


def _instance(key: str, category: str, parts: list[tuple[Ring, Geometry, Mapping[str, Any]]]) -> Instance:
    """Return the instance whose mask is the union of `parts`; its flags are true where any of its regions says so."""
    rings, kinds, attributes = zip(*parts, strict=True)
    return Instance(
        id=key,
        category=category,
        source_category=category,
        rings=rings,
        box=polygon.bounds(rings),
        geometry=geometry_of(attributes[0].get("geometry"), kinds[0], rings[0]),
        crowd=bool(_any(attributes, "crowd")),
        ignored=bool(_any(attributes, "ignored")),
        occluded=_any(attributes, "occluded"),
        truncated=_any(attributes, "truncated"),
    )


def _any(attributes: tuple[Mapping[str, Any], ...], flag: str) -> bool | None:
    """Return whether the flag is true for any region; None where no region answers."""
    given = [said for each in attributes if (said := answer(each.get(flag))) is not None]
    return any(given) if given else None
