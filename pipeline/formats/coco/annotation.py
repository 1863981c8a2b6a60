"""One annotation of a COCO file to a row: its polygons, its run-length mask, or its box as a rectangle.

Files, and which annotation belongs to which image, are read in `coco_files`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from mrcnn.shapes import polygons
from pipeline.formats.bdd.label import RunLengths, run_length_outlines, text_of_id
from pipeline.formats.options import FLAGS, answer
from pipeline.formats.rows import Description, Rows
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import json_text

Id = int | str
"""What COCO files call images and categories by; two are the same only when equal in type too."""


class Annotation(msgspec.Struct):
    """An annotation as far as it is read; any value may be of any type."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    segmentation: Any = None
    bbox: Any = None
    iscrowd: Any = None
    ignore: Any = None
    score: Any = None
    attributes: Any = None


def add(rows: Rows, annotation: Annotation, position: int, words: Mapping[Id, str]) -> bool:
    """Add the annotation at `position` of its image; return whether it fits only an image of the size in the file.

    `words` are what categories are called. Several polygons are one instance. Coordinates are taken as they are: COCO's
    are not rounded before they are filled.
    """
    label_id = text_of_id(annotation.id) or f"#{position}"
    known = id_of(annotation.category_id)
    description = _description(annotation, None if known is None else words.get(known))
    if description.category is None:
        rows.reject(label_id, reasons.NO_CATEGORY, description)
        return False
    try:
        return _add_geometry(rows, label_id, annotation, description)
    except LabelError as fault:
        rows.reject(label_id, fault.reason, description)
        return False


def id_of(value: Any) -> Id | None:
    """Return an id as files may write it, 7.0 for 7 as tables have it that have gaps; None for what is no id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _add_geometry(rows: Rows, label_id: str, annotation: Annotation, description: Description) -> bool:
    given = annotation.segmentation
    if isinstance(given, list):
        given = [each for each in given if each != []]  # some write [[]] beside a box
    if isinstance(given, dict) and given:
        rings, size = _traced(given)
        rows.add_rings(label_id, description, rings, "rle", size)
        return False
    if isinstance(given, list) and given:
        rows.add_rings(label_id, description, _polygons(given), "polygon")
    elif given not in (None, [], {}):
        raise LabelError(reasons.POLYGON_MALFORMED)
    elif annotation.bbox in (None, []):
        raise LabelError(reasons.NO_GEOMETRY)
    else:
        rows.add_box(label_id, description, _corners(annotation.bbox))
    return True


def _polygons(given: list[Any]) -> tuple[Ring, ...]:
    """Return a ring for each polygon, a flat list x, y, x, y, …, that encloses area."""
    rings = []
    for numbers in given:
        if not isinstance(numbers, list) or len(numbers) % 2 or not all(map(_is_number, numbers)):
            raise LabelError(reasons.POLYGON_MALFORMED)
        if not all(abs(number) <= reasons.FARTHEST for number in numbers):
            raise LabelError(reasons.TOO_FAR)
        ring = polygon.clean(np.array(numbers, np.float64))
        if polygons.encloses_area(ring):
            rings.append(ring)
    if not rings:
        raise LabelError(reasons.POLYGON_WITHOUT_AREA)
    return tuple(rings)


def _traced(given: dict[str, Any]) -> tuple[tuple[Ring, ...], tuple[int, int]]:
    try:
        return run_length_outlines(msgspec.convert(given, RunLengths))
    except msgspec.ValidationError:
        raise LabelError(reasons.MASK_MALFORMED) from None


def _corners(bbox: Any) -> tuple[float, float, float, float]:
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise LabelError(reasons.BOX_NOT_NUMBERS)
    if not all(abs(number) <= reasons.FARTHEST for number in bbox):
        raise LabelError(reasons.TOO_FAR)
    left, top, width, height = map(float, bbox)
    return left, top, left + width, top + height


def _description(annotation: Annotation, word: str | None) -> Description:
    flags, attributes = _said(annotation)
    return Description(
        word,
        attributes=json_text(attributes),
        crowd=answer(annotation.iscrowd) or flags.get("crowd", False),
        ignored=answer(annotation.ignore) or flags.get("ignored", False),
        occluded=flags.get("occluded"),
        truncated=flags.get("truncated"),
    )


def _said(annotation: Annotation) -> tuple[dict[str, bool], dict[str, Any]]:
    """Return the flags among the attributes (as CVAT writes them); and the others, the score, and what is no answer."""
    given = annotation.attributes
    if given is None:
        attributes: dict[str, Any] = {}
    else:
        attributes = dict(given) if isinstance(given, dict) else {"attributes": given}
    answers = {flag: answer(attributes.get(flag)) for flag in FLAGS}
    flags = {flag: said for flag, said in answers.items() if said is not None}
    attributes = {name: value for name, value in attributes.items() if name not in flags}
    if annotation.score is not None:
        attributes["score"] = annotation.score
    unclear = {"iscrowd": annotation.iscrowd, "ignore": annotation.ignore}
    attributes |= {key: value for key, value in unclear.items() if value is not None and answer(value) is None}
    return flags, attributes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
