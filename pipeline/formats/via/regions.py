"""The regions of one image of a VIA file to instances; those that share the attribute `instance` are one.

Files and their layouts are read in `via_files` and `via3`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from pipeline.formats.options import FLAGS, ReadOptions, answer
from pipeline.formats.via.classes import ClassRule, Options, is_own, spelled_out, text_of
from pipeline.formats.via.shapes import outline
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.distinct_ids import DistinctIds
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import GEOMETRIES, Geometry, Instance, LabelledImage, Rejected
from pipeline.recipe.categories import Meaning

ROUNDING = 0.01
"""Pixels by which a vertex may be off since it was written to a VIA file."""


@dataclass(frozen=True)
class Region:
    """A region of a file; `id` is its key or its place in the list, `given` all that the file says of it."""

    id: str
    shape: Any
    attributes: Any
    given: Any


@dataclass
class _Parts:
    """The rings of one instance while they are gathered."""

    own_id: str
    """What its regions have under `instance`; empty where it is the instance of a single region."""
    region: str
    """The first of its regions."""
    word: str
    meant: Meaning
    geometry: Geometry
    flags: dict[str, bool]
    attributes: dict[str, Any]
    rings: list[Ring] = field(default_factory=list)

    def instance(self, instance_id: str) -> Instance:
        return Instance(
            id=instance_id,
            category=self.meant.category,
            source_category=self.word,
            rings=tuple(self.rings),
            box=polygon.bounds(self.rings),
            geometry=self.geometry,
            crowd=self.flags.get("crowd", False),
            ignored=self.meant.ignored or self.flags.get("ignored", False),
            occluded=self.flags.get("occluded"),
            truncated=self.flags.get("truncated"),
            attributes=self.attributes,
        )


class RegionReading:
    """Gathers the regions of one image: kept, rejected with a reason, or not wanted."""

    def __init__(
        self, source: str, name: str, rule: ClassRule, options: ReadOptions, declared: Options = MappingProxyType({})
    ) -> None:
        """`declared` are the options of a project's attributes."""
        self._source, self._name, self._rule, self._options, self._declared = source, name, rule, options, declared
        self._parts: dict[tuple[str, str], _Parts] = {}
        self._rejected: list[Rejected] = []
        self._unwanted: list[Rejected] = []

    def add(self, regions: Iterable[Region]) -> None:
        """Read all regions."""
        for region in regions:
            try:
                self._add(region)
            except LabelError as fault:
                self.reject(region.id, fault.reason, region.given)

    def reject(self, label_id: str, reason: str, label: Any) -> None:
        """Leave a region out, with its reason."""
        self._rejected.append(self._left_out(label_id, reason, label))

    def _left_out(self, label_id: str, reason: str, label: Any) -> Rejected:
        return Rejected(self._source, self._name, label_id, reason, msgspec.json.encode(label).decode())

    def image(self, attributes: Any) -> LabelledImage:
        """Return the image with what was gathered."""
        if not self._name and not self._rejected:
            self.reject("", reasons.NO_IMAGE_NAME, None)
        return LabelledImage(
            name=self._name,
            source=self._source,
            instances=tuple(map(_Parts.instance, self._parts.values(), self._ids())),
            rejected=tuple(self._rejected),
            attributes=attributes if isinstance(attributes, dict) else {},
            unwanted=tuple(self._unwanted),
        )

    def _add(self, region: Region) -> None:
        given = spelled_out(region.attributes if isinstance(region.attributes, dict) else {}, self._declared)
        word = self._rule.name_of(given)
        meant = self._options.wanted.meaning(word)
        if meant is None:
            self._unwanted.append(self._left_out(region.id, reasons.OTHER_CATEGORY, region.given))
            return
        if not self._name:
            raise LabelError(reasons.NO_IMAGE_NAME)
        ring, kind = outline(region.shape, self._options.curve_tolerance)
        geometry = _geometry(given.get("geometry"), kind, ring)
        if geometry == "box" and self._options.boxes == "leave_out":
            raise LabelError(reasons.BOX_LEFT_OUT)
        own_id = text_of(given.get("instance"))
        key = (own_id, meant.category if own_id else region.id)
        flags, rest = _split(given, self._rule.key_of(given))
        parts = self._parts.setdefault(key, _Parts(own_id, region.id, word, meant, geometry, {}, {}))
        # What any region says holds for the instance: a flag where one says yes, an attribute as the first has it.
        parts.flags |= {flag: said or parts.flags.get(flag, False) for flag, said in flags.items()}
        parts.attributes = rest | parts.attributes
        parts.geometry = geometry if parts.geometry == "box" else parts.geometry
        parts.rings.append(ring)

    def _ids(self) -> list[str]:
        """Return the ids of the instances: their own, else that of the region, with a number behind one that is had."""
        ids = DistinctIds({parts.own_id for parts in self._parts.values()})
        return [ids.give(parts.own_id or parts.region, bool(parts.own_id)) for parts in self._parts.values()]


def _geometry(given: Any, kind: Geometry, ring: Ring) -> Geometry:
    """Return what the region was made from; a box that a person has given another outline since is one no more."""
    geometry = next((geometry for geometry in GEOMETRIES if geometry == given), kind)
    return "polygon" if geometry == "box" and not _fills_its_box(ring) else geometry


def _fills_its_box(ring: Ring) -> bool:
    """Say whether a ring is the rectangle around it, but for the rounding of its vertices."""
    width, height = (ring.max(axis=0) - ring.min(axis=0)).tolist()
    return bool(width * height - polygon.area(ring) <= ROUNDING * (width + height))


def _split(given: Mapping[str, Any], class_attribute: str | None) -> tuple[dict[str, bool], dict[str, Any]]:
    """Return the flags, named in any case, and the other attributes; a flag neither true nor false is one of those."""
    flags: dict[str, bool] = {}
    rest: dict[str, Any] = {}
    for key, value in given.items():
        if key == class_attribute or _is_placed(key, value):
            continue
        flag, said = key.casefold(), answer(value)
        if flag in FLAGS and flag not in flags and said is not None:
            flags[flag] = said
        elif key == "attributes" and isinstance(inner := _parsed(value), dict):
            rest = inner | rest
        else:
            rest[key] = value
    return flags, rest


def _is_placed(key: str, value: Any) -> bool:
    """Say whether an instance has a place of its own for this attribute, or it is ours and left empty."""
    if value is None or value == "":
        return is_own(key)
    return (key == "instance" and text_of(value) != "") or (key == "geometry" and value in GEOMETRIES)


def _parsed(value: Any) -> Any:
    """Return the JSON that the text `value` holds, or `value` itself where it is none."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
