"""COCO instances files: `{images, annotations, categories}` in any order, annotations of an image anywhere in the list.

Annotations are decoded image by image, so that memory holds only what the format forces on a reader: a name an image,
and where each annotation lies. What one becomes is in `coco_annotation`.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from pipeline.errors import NotLabelsError
from pipeline.formats.bdd.label import text_of_id
from pipeline.formats.coco import annotation
from pipeline.formats.coco.annotation import Annotation, Id, id_of
from pipeline.formats.json_repair import decode_as
from pipeline.formats.json_stream import Json, elements, start_of
from pipeline.formats.rows import Rows, json_of
from pipeline.instances import reasons

LISTS = ("images", "annotations", "categories")


class Category(msgspec.Struct):
    """What is read of a category."""

    id: Any = None
    name: Any = None


class Image(msgspec.Struct):
    """What is read of an image."""

    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class OfImage(msgspec.Struct):
    """What is read of an annotation to find its image."""

    image_id: Any = None


Element = TypeVar("Element", Category, Image, Annotation, OfImage)

_category = msgspec.json.Decoder(Category)
_image = msgspec.json.Decoder(Image)
_of_image = msgspec.json.Decoder(OfImage)
_annotation = msgspec.json.Decoder(Annotation)


def add(rows: Rows, file: int, whole: Json) -> None:
    """Add the images of a COCO file in the order of its `images`; what is of no image comes last.

    That goes under the name "", and is rejected. Raises NotLabelsError where one of the three lists is missing.
    """
    images, annotations, categories = _lists(whole)
    words = _words(categories)
    by_image: dict[Id | None, list[msgspec.Raw]] = defaultdict(list)
    for text in annotations:
        found = _decoded(text, _of_image)
        by_image[id_of(found.image_id) if found else None].append(text)
    named: dict[Id, Image] = {}
    astray: list[tuple[str, msgspec.Raw]] = []
    for text in images:
        if reason := _place(_decoded(text, _image), named):
            astray.append((reason, text))
    for image_id, image in named.items():
        _add_image(rows, file, image, by_image.pop(image_id, []), words)
    _add_astray(rows, file, astray, [text for texts in by_image.values() for text in texts])


def _lists(whole: Json) -> list[list[msgspec.Raw]]:
    absent = [key for key in LISTS if key not in whole.members or start_of(whole.members[key]) != b"["]
    if absent:
        raise NotLabelsError(
            f"{whole.name}: holds no labels: it is a COCO file without {' and '.join(absent)}; "
            "give COCO's instances file, which has images, annotations and categories"
        )
    return [elements(whole.members[key]) for key in LISTS]


def _words(categories: Sequence[msgspec.Raw]) -> dict[Id, str]:
    """Return the names of categories by id.

    One that can't be read matters only where an annotation means it: that is rejected then.
    """
    words: dict[Id, str] = {}
    for text in categories:
        found = _decoded(text, _category)
        category_id = id_of(found.id) if found else None
        if found and category_id is not None and isinstance(found.name, str) and found.name.strip():
            words.setdefault(category_id, found.name)
    return words


def _place(found: Image | None, named: dict[Id, Image]) -> str | None:
    """Add an image to those that have a name and an id, of which the first one counts; return why it can't be."""
    if found is None:
        return reasons.FRAME_NOT_OBJECT
    image_id = id_of(found.id)
    if image_id is None or not isinstance(found.file_name, str) or not found.file_name.strip():
        return reasons.NO_IMAGE_NAME
    return None if named.setdefault(image_id, found).file_name == found.file_name else reasons.ID_TWICE


def _add_image(rows: Rows, file: int, image: Image, texts: Sequence[msgspec.Raw], words: dict[Id, str]) -> None:
    """Add an image with its annotations.

    Its size must be the image's where polygons and boxes are labels: they fit no image that was scaled since.
    """
    rows.begin_image(file, image.file_name, partial(list, texts))
    annotations = (decode_as(text, _annotation) for text in texts)
    sized = [annotation.add(rows, each, position, words) for position, each in enumerate(annotations)]
    size = _size(image)
    if size and any(sized):
        rows.set_size(size)


def _add_astray(
    rows: Rows, file: int, astray: Sequence[tuple[str, msgspec.Raw]], annotations: Sequence[msgspec.Raw]
) -> None:
    if not astray and not annotations:
        return
    rows.begin_image(file, "", partial(list, annotations))
    for reason, text in astray:
        rows.fault(reason, json_of(text))
    for text in annotations:
        found = _decoded(text, _annotation)
        rows.reject(text_of_id(found.id) if found else "", reasons.NO_IMAGE_OF_ID if found else reasons.NO_OBJECT)


def _decoded(text: msgspec.Raw, decoder: "msgspec.json.Decoder[Element]") -> Element | None:
    """Return an element of a list; None for one that is no object."""
    try:
        return decode_as(text, decoder)
    except msgspec.ValidationError:
        return None


def _size(image: Image) -> tuple[int, int] | None:
    """Return width and height of an image; None where one isn't said, as many leave them 0."""
    width, height = image.width, image.height
    if not (isinstance(width, int | float) and isinstance(height, int | float) and width > 0 and height > 0):
        return None
    return int(min(width, reasons.FARTHEST)), int(min(height, reasons.FARTHEST))
