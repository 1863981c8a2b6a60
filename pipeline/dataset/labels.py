"""Reads the label file of one split of an `images.zip` (VIA 1 or 2) into instances.

Classes keep their names: those of an archive are the classes of the model that is trained on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipeline.errors import LabelFileError
from pipeline.formats.content import Content
from pipeline.formats.detect import Format, detect_json
from pipeline.formats.json_text import decode, load
from pipeline.formats.via import reading
from pipeline.formats.via.reading import regions_of
from pipeline.formats.via.regions import (
    Options,
    geometry_of,
    outline,
    shape_and_attributes,
    text_of,
    with_option_texts,
    word_options,
)
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.labels.classes import ClassRule, Instance, find_rule, flags_and_attributes, join_parts
from pipeline.recipe.categories import AnyWord

CURVE_TOLERANCE = 0.5
"""Pixels by which the polygon of a circle or ellipse may be off."""


@dataclass(frozen=True)
class LabelledEntry:
    """An image as a label file has it."""

    name: str
    size: tuple[int, int]
    """Width and height, 0 where the file doesn't give them."""
    instances: list[Instance[Ring]]
    unusable: list[tuple[str, str]]
    """Id and reason of each region that can't be used."""
    attributes: dict[str, str]
    """Those of the image that are texts."""


def read(
    content: bytes, name: str, class_attribute: str | None = None, with_attributes: bool = False
) -> Iterator[LabelledEntry]:
    """Yield the images of VIA annotations or a VIA project; regions of a class that share `instance` are joined.

    Attributes of instances are left out unless `with_attributes`: training needs none of them. Raises
    LabelFileError, which calls the file `name`, if it is damaged, or not of VIA 1 or 2.
    """
    yield from labelled_in(*open_entries(Content(name, content)), class_attribute, with_attributes)


def labelled_in(
    entries: Mapping[str, msgspec.Raw],
    declared: Options,
    class_attribute: str | None = None,
    with_attributes: bool = False,
) -> Iterator[LabelledEntry]:
    """Yield the images of entries and declared options as `open_entries` returns them."""
    regions = (region for text in entries.values() for region in (regions_of(decode(text)) or {}).values())
    attributes = (with_option_texts(shape_and_attributes(region)[1], declared) for region in regions)
    rule = find_rule(attributes, AnyWord(), word_options(declared), None, class_attribute)
    for key, text in entries.items():
        entry = decode(text)
        instances, unusable = _read(entry, rule, declared, with_attributes)
        size = (_side(entry, "width"), _side(entry, "height"))
        yield LabelledEntry(reading.name_of(key, entry), size, instances, unusable, _attributes(entry))


def open_entries(content: Content) -> tuple[Mapping[str, msgspec.Raw], Options]:
    """Return the entries of VIA annotations or a VIA project, not decoded yet, and the options that it declares.

    Raises LabelFileError if the file is damaged, or not of VIA 1 or 2.
    """
    whole = load(content)
    found = detect_json(whole)
    if found not in (Format.VIA_METADATA, Format.VIA_PROJECT):
        raise LabelFileError(f"{content.name}: isn't a file of VIA 1 or 2, but {found.value}")
    return reading.entries_of(whole)


def _read(
    entry: Any, rule: ClassRule, declared: Options, with_attributes: bool
) -> tuple[list[Instance[Ring]], list[tuple[str, str]]]:
    """Return the instances of an entry, and the id and reason of each region that can't be used."""
    regions = regions_of(entry)
    left_out = [("", reasons.LABELS_NOT_LIST)] if regions is None else []
    if not isinstance(entry, dict):
        left_out = [("", reasons.FRAME_NOT_OBJECT)]
    found: list[Instance[Ring]] = []
    for label_id, region in (regions or {}).items():
        shape, given = shape_and_attributes(region)
        attributes = with_option_texts(given, declared)
        try:
            category = rule.class_of(attributes)
            ring, kind = outline(shape, CURVE_TOLERANCE)
        except LabelError as error:
            left_out.append((label_id, error.reason))
            continue
        flags, others = flags_and_attributes(attributes, rule.attribute_of(attributes))
        part_of, geometry = text_of(attributes.get("instance")), geometry_of(attributes, kind, ring)
        found.append(Instance(label_id, part_of, category, geometry, flags, others if with_attributes else {}, [ring]))
    return join_parts(found), left_out


def _attributes(entry: Any) -> dict[str, str]:
    given = entry.get("file_attributes") if isinstance(entry, dict) else None
    return {key: value for key, value in given.items() if isinstance(value, str)} if isinstance(given, dict) else {}


def _side(entry: Any, key: str) -> int:
    side = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(side, bool) or not isinstance(side, int | float):
        return 0
    return int(side) if 0 < side < reasons.FARTHEST else 0
