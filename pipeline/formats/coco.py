"""COCO instances files: `{images, annotations, categories}` in any order, annotations of an image anywhere in the list.

Annotations are decoded image by image: memory holds a name for each image, and where each annotation lies.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from mrcnn.shapes import polygons
from pipeline.errors import NotLabelsError
from pipeline.formats.json_text import Json, decode_as, elements, first_byte
from pipeline.formats.label_values import RunLengths, answer, check_numbers, id_text, split_flags, trace_run_lengths
from pipeline.formats.table_builder import Corners, Description, TableBuilder
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import json_text

_NUMBER = re.compile(r"-?[0-9]{1,18}")

LISTS = ("images", "annotations", "categories")

Id = int | str
"""Id of an image or a category; one that is given as text means the number too, where no other has that text."""

VIA = b"VGG Image Annotator"
"""In `info`, of VIA's export, which writes an image's number as text and no category for an attribute of free text."""


class Category(msgspec.Struct):
    """A category, with values of any type."""

    id: Any = None
    name: Any = None


class Image(msgspec.Struct):
    """An image, with values of any type."""

    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class ImageReference(msgspec.Struct):
    """What an annotation is decoded to before its image is known."""

    image_id: Any = None


class Annotation(msgspec.Struct):
    """An annotation, with values of any type."""

    id: Any = None
    category_id: Any = None
    segmentation: Any = None
    bbox: Any = None
    iscrowd: Any = None
    ignore: Any = None
    score: Any = None
    attributes: Any = None


Element = TypeVar("Element", Category, Image, Annotation, ImageReference)

_category = msgspec.json.Decoder(Category)
_image = msgspec.json.Decoder(Image)
_image_reference = msgspec.json.Decoder(ImageReference)
_annotation = msgspec.json.Decoder(Annotation)


def add(builder: TableBuilder, file: int, content: Json) -> None:
    """Add the images of a COCO file in the order of its `images`; what belongs to no image comes last.

    That has the image name "", and is rejected. Raises NotLabelsError where one of the three lists is missing.
    """
    images, annotations, categories = _lists(content)
    words: Mapping[Id, str] | None = _category_names(categories)
    if not words and VIA in bytes(content.members.get("info", b"")):
        words = None
    named: dict[Id, Image] = {}
    faults = [(reason, text) for text in images if (reason := _register(_decoded(text, _image), named))]
    by_image: dict[Id | None, list[msgspec.Raw]] = defaultdict(list)
    for text in annotations:
        reference = _decoded(text, _image_reference)
        by_image[_id_among(named, reference.image_id) if reference else None].append(text)
    for image_id, image in named.items():
        _add_image(builder, file, image, by_image.pop(image_id, []), words)
    unplaced = [text for texts in by_image.values() for text in texts]
    if faults or unplaced:
        _reject_unplaced(builder, file, faults, unplaced)


def _lists(content: Json) -> list[list[msgspec.Raw]]:
    absent = [key for key in LISTS if key not in content.members or first_byte(content.members[key]) != b"["]
    if absent:
        raise NotLabelsError(
            f"{content.name}: holds no labels: it is a COCO file without {' and '.join(absent)}; "
            "give COCO's instances file, which has images, annotations and categories"
        )
    return [elements(content.members[key]) for key in LISTS]


def _category_names(categories: Sequence[msgspec.Raw]) -> dict[Id, str]:
    """Return the names of categories by id; annotations of a category that can't be read are rejected later."""
    names: dict[Id, str] = {}
    for text in categories:
        category = _decoded(text, _category)
        category_id = _id(category.id) if category else None
        if category and category_id is not None and isinstance(category.name, str) and category.name.strip():
            names.setdefault(category_id, category.name)
    return names


def _register(image: Image | None, named: dict[Id, Image]) -> str | None:
    """Add an image to those that have a name and an id, of which the first one counts; return why it can't be added."""
    if image is None:
        return reasons.FRAME_NOT_OBJECT
    image_id = _id(image.id)
    if image_id is None or not isinstance(image.file_name, str) or not image.file_name.strip():
        return reasons.NO_IMAGE_NAME
    return None if named.setdefault(image_id, image).file_name == image.file_name else reasons.ID_TWICE


def _add_image(
    builder: TableBuilder, file: int, image: Image, texts: Sequence[msgspec.Raw], words: Mapping[Id, str] | None
) -> None:
    """Add an image with its annotations.

    The size that the file states counts where polygons and boxes are labels: they don't fit an image that was scaled.
    """
    builder.add_image(file, image.file_name, partial(list, texts))
    fit_size = [_add(builder, decode_as(text, _annotation), at, words) for at, text in enumerate(texts)]
    width, height = image.width, image.height
    are_numbers = isinstance(width, int | float) and isinstance(height, int | float)
    if any(fit_size) and are_numbers and width > 0 and height > 0:  # many files leave them 0
        builder.set_image_size((int(min(width, reasons.FARTHEST)), int(min(height, reasons.FARTHEST))))


def _reject_unplaced(
    builder: TableBuilder, file: int, faults: Sequence[tuple[str, msgspec.Raw]], annotations: Sequence[msgspec.Raw]
) -> None:
    builder.add_image(file, "", partial(list, annotations))
    for reason, text in faults:
        builder.reject_image(reason, text)
    for text in annotations:
        annotation = _decoded(text, _annotation)
        reason = reasons.NO_IMAGE_OF_ID if annotation else reasons.NO_OBJECT
        builder.reject(id_text(annotation.id) if annotation else "", reason)


def _decoded(text: msgspec.Raw, decoder: "msgspec.json.Decoder[Element]") -> Element | None:
    """Return an element of a list; None for one that is no object."""
    try:
        return decode_as(text, decoder)
    except msgspec.ValidationError:
        return None


def _id(value: Any) -> Id | None:
    """Return an id, 7 also for 7.0, which tables with gaps are written with; None for what is no id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _id_among(known: Mapping[Id, Any], value: Any) -> Id | None:
    """Return the one of the known ids that a reference means: the same, else the same as text or as number."""
    found = _id(value)
    if found is None or found in known:
        return found
    other: Id = str(found) if isinstance(found, int) else int(found) if _NUMBER.fullmatch(found) else found
    return other if other in known else found


def _add(builder: TableBuilder, annotation: Annotation, position: int, words: Mapping[Id, str] | None) -> bool:
    """Add the annotation at `position` of its image; return whether it fits only an image of the size in the file.

    Several polygons are one instance. Coordinates stay as they are: COCO does not round them. Without categories
    (None) its class is open, as that of a VIA region.
    """
    label_id = id_text(annotation.id) or f"#{position}"
    category_id = _id_among(words or {}, annotation.category_id)
    description = _description(annotation, None if category_id is None else (words or {}).get(category_id))
    if description.category is None and words is not None:
        builder.reject(label_id, reasons.NO_CATEGORY, description)
        return False
    try:
        return _add_geometry(builder, label_id, annotation, description)
    except LabelError as fault:
        builder.reject(label_id, fault.reason, description)
        return False


def _add_geometry(builder: TableBuilder, label_id: str, annotation: Annotation, description: Description) -> bool:
    segmentation = annotation.segmentation
    if isinstance(segmentation, list):
        segmentation = [each for each in segmentation if each != []]  # some write [[]] beside a box
        if segmentation and not any(isinstance(each, list) for each in segmentation):
            segmentation = [segmentation]  # VIA writes the numbers of the one polygon
    if isinstance(segmentation, dict) and segmentation:
        rings, size = _traced(segmentation)
        builder.add_rings(label_id, description, rings, "rle", size)
        return False
    if isinstance(segmentation, list) and segmentation:
        builder.add_rings(label_id, description, _polygons(segmentation), "polygon")
    elif segmentation not in (None, [], {}):
        raise LabelError(reasons.POLYGON_MALFORMED)
    elif annotation.bbox in (None, []):
        raise LabelError(reasons.NO_GEOMETRY)
    else:
        builder.add_box(label_id, description, _corners(annotation.bbox))
    return True


def _polygons(segmentation: list[Any]) -> list[Ring]:
    """Return a ring for each polygon, a flat list x, y, x, y, …, that encloses area."""
    rings = [polygon.clean(_numbers(numbers, reasons.POLYGON_MALFORMED)) for numbers in segmentation]
    rings = [ring for ring in rings if polygons.encloses_area(ring)]
    if not rings:
        raise LabelError(reasons.POLYGON_WITHOUT_AREA)
    return rings


def _traced(segmentation: dict[str, Any]) -> tuple[list[Ring], tuple[int, int]]:
    try:
        return trace_run_lengths(msgspec.convert(segmentation, RunLengths))
    except msgspec.ValidationError:
        raise LabelError(reasons.MASK_MALFORMED) from None


def _corners(bbox: Any) -> Corners:
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise LabelError(reasons.BOX_NOT_NUMBERS)
    left, top, width, height = _numbers(bbox, reasons.BOX_NOT_NUMBERS).ravel().tolist()
    return left, top, left + width, top + height


def _numbers(values: Any, malformed: str) -> Ring:
    """Return x, y, x, y, … as [K, 2] float64; raises LabelError where it is `malformed`, or lies too far away."""
    check_numbers(values, malformed)
    if len(values) % 2:
        raise LabelError(malformed)
    return np.array(values, np.float64).reshape(-1, 2)


def _description(annotation: Annotation, word: str | None) -> Description:
    """Return the description of an annotation: flags under COCO's keys, and among the attributes, as CVAT has them."""
    flags, attributes = split_flags(annotation.attributes)
    if annotation.score is not None:
        attributes["score"] = annotation.score
    for key, flag, value in (("iscrowd", "crowd", annotation.iscrowd), ("ignore", "ignored", annotation.ignore)):
        holds = answer(value)
        if holds:
            flags[flag] = True
        elif holds is None and value is not None:
            attributes[key] = value
    return Description(word, attributes=json_text(attributes), **flags)
