"""One annotation of a COCO file to an instance: its polygons, its run-length mask, or its box as a rectangle.

Files, and which annotation belongs to which image, are read in `coco_files`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from pipeline.formats.bdd.label import RunLengths, run_length_outlines, text_of_id
from pipeline.formats.options import FLAGS, ReadOptions, answer
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import Geometry, Instance, LabelledImage, Rejected
from pipeline.recipe.categories import Meaning

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


class AnnotationReading:
    """Gathers the annotations of one image: kept, rejected with a reason, or not wanted."""

    def __init__(self, source: str, name: str, words: Mapping[Id, str], options: ReadOptions) -> None:
        self._source, self._name, self._words, self._options = source, name, words, options
        self._instances: list[Instance] = []
        self._rejected: list[Rejected] = []
        self._unwanted: list[Rejected] = []

    def add(self, annotation: Annotation, text: bytes, position: int) -> None:
        """Read the annotation at `position` of its image; `text` is its JSON."""
        label_id = text_of_id(annotation.id) or f"#{position}"
        try:
            word = self._word(annotation.category_id)
            meant = self._options.wanted.meaning(word)
            if meant is None:
                self._unwanted.append(self._left_out(label_id, reasons.OTHER_CATEGORY, text))
            else:
                self._instances.append(instance(annotation, label_id, word, meant, self._options))
        except LabelError as fault:
            self._rejected.append(self._left_out(label_id, fault.reason, text))

    def _left_out(self, label_id: str, reason: str, text: bytes) -> Rejected:
        return Rejected(self._source, self._name, label_id, reason, text.decode("utf-8", "replace"))

    def image(self, size: tuple[int, int] | None) -> LabelledImage:
        """Return the image with what was gathered; `size` (width, height) is what the file says of it.

        It must be the image's where polygons and boxes are labels: they fit no image that was scaled since.
        """
        found = (tuple(self._instances), tuple(self._rejected))
        size = size if any(each.mask_size is None for each in self._instances) else None
        return LabelledImage(self._name, self._source, *found, size=size, unwanted=tuple(self._unwanted))

    def _word(self, category_id: Any) -> str:
        known = id_of(category_id)
        if known is None or known not in self._words:
            raise LabelError(reasons.NO_CATEGORY)
        return self._words[known]


def id_of(value: Any) -> Id | None:
    """Return an id as files may write it, 7.0 for 7 as tables have it that have gaps; None for what is no id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def instance(annotation: Annotation, label_id: str, word: str, meant: Meaning, options: ReadOptions) -> Instance:
    """Return the instance that an annotation of the category `word` describes.

    Several polygons are one instance. Coordinates are taken as they are: COCO's are not rounded before they are filled.
    Raises LabelError where there is no area.
    """
    rings, geometry, mask_size = _outline(annotation, options)
    flags, attributes = _said(annotation)
    return Instance(
        id=label_id,
        category=meant.category,
        source_category=word,
        rings=rings,
        box=polygon.bounds(rings),
        geometry=geometry,
        crowd=answer(annotation.iscrowd) or flags.get("crowd", False),
        ignored=meant.ignored or answer(annotation.ignore) or flags.get("ignored", False),
        occluded=flags.get("occluded"),
        truncated=flags.get("truncated"),
        attributes=attributes,
        mask_size=mask_size,
    )


def _outline(annotation: Annotation, options: ReadOptions) -> tuple[tuple[Ring, ...], Geometry, tuple[int, int] | None]:
    given = annotation.segmentation
    if isinstance(given, list):
        given = [each for each in given if each != []]  # some write [[]] beside a box
    if isinstance(given, dict) and given:
        rings, mask_size = _traced(given)
        return rings, "rle", mask_size
    if isinstance(given, list) and given:
        return _polygons(given), "polygon", None
    if given not in (None, [], {}):
        raise LabelError(reasons.POLYGON_MALFORMED)
    if annotation.bbox in (None, []):
        raise LabelError(reasons.NO_GEOMETRY)
    ring = _rectangle(annotation.bbox)
    if options.boxes == "leave_out":
        raise LabelError(reasons.BOX_LEFT_OUT)
    return (ring,), "box", None


def _polygons(given: list[Any]) -> tuple[Ring, ...]:
    """Return a ring for each polygon, a flat list x, y, x, y, …, that encloses area."""
    rings = []
    for numbers in given:
        if not isinstance(numbers, list) or len(numbers) % 2 or not all(map(_is_number, numbers)):
            raise LabelError(reasons.POLYGON_MALFORMED)
        if not all(abs(number) <= reasons.FARTHEST for number in numbers):
            raise LabelError(reasons.TOO_FAR)
        ring = polygon.clean(np.array(numbers, np.float64))
        if polygon.encloses_area(ring):
            rings.append(ring)
    if not rings:
        raise LabelError(reasons.POLYGON_WITHOUT_AREA)
    return tuple(rings)


def _traced(given: dict[str, Any]) -> tuple[tuple[Ring, ...], tuple[int, int]]:
    try:
        return run_length_outlines(msgspec.convert(given, RunLengths))
    except msgspec.ValidationError:
        raise LabelError(reasons.MASK_MALFORMED) from None


def _rectangle(bbox: Any) -> Ring:
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise LabelError(reasons.BOX_NOT_NUMBERS)
    if not all(abs(number) <= reasons.FARTHEST for number in bbox):
        raise LabelError(reasons.TOO_FAR)
    left, top, width, height = map(float, bbox)
    if width <= 0 or height <= 0:
        raise LabelError(reasons.BOX_WITHOUT_AREA)
    return polygon.rectangle(left, top, left + width, top + height)


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
