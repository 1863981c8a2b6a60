"""COCO instances files: `{images, annotations, categories}` in any order, annotations of an image anywhere in the list.

Annotations are copied to a temporary file and then read image by image, so that memory holds only what the format
forces on a reader: a name an image, and where each annotation lies. What one becomes is in `coco_annotation`.
"""

import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import IO, Any, TypeVar

import msgspec

from pipeline.errors import NotLabelsError
from pipeline.formats.bdd.label import text_of_id
from pipeline.formats.coco.annotation import Annotation, AnnotationReading, Id, id_of
from pipeline.formats.json_stream import JsonStream
from pipeline.formats.options import ReadOptions
from pipeline.instances import reasons
from pipeline.instances.records import LabelledImage, Rejected


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


Element = TypeVar("Element", Category, Image, Annotation)

_values = msgspec.json.Decoder(list[msgspec.Raw])
_category = msgspec.json.Decoder(Category)
_image = msgspec.json.Decoder(Image)
_annotation = msgspec.json.Decoder(Annotation)


def read(stream: JsonStream, options: ReadOptions) -> Iterator[LabelledImage]:
    """Yield the images of a COCO file in the order of its `images`; what is of no image comes under the name "".

    Raises NotLabelsError where one of the three lists is missing, LabelFileError where the JSON is broken.
    """
    with tempfile.TemporaryFile(prefix="coco-annotations-") as spilled:
        content = _Content(stream, spilled)
        for key in stream.members():
            content.take(key)
        content.refuse_incomplete()
        yield from content.labelled(options)
        yield from content.astray()


class _Content:
    """What is known of a file while it is read, and the temporary file with its annotations."""

    def __init__(self, stream: JsonStream, spilled: IO[bytes]) -> None:
        self._stream, self._spilled = stream, spilled
        self._lists: set[str] = set()
        self._words: dict[Id, str] = {}
        self._images: dict[Id, str] = {}
        self._sizes: dict[Id, tuple[int, int]] = {}
        """Width and height of images of which the file says both."""
        self._where: dict[Id, array[int]] = defaultdict(lambda: array("q"))
        """By image id: start and length of each annotation in the temporary file."""
        self._set_aside: list[Rejected] = []

    def take(self, key: str) -> None:
        """Read one member of the file's object."""
        if key not in ("images", "annotations", "categories") or self._stream.peek() != b"[":
            self._stream.value()
            return
        self._lists.add(key)
        if key == "images":
            self._take_images()
        elif key == "categories":
            self._take_categories()
        else:
            self._take_annotations()

    def refuse_incomplete(self) -> None:
        """Raise NotLabelsError for a file that lacks one of the three lists."""
        absent = [key for key in ("images", "annotations", "categories") if key not in self._lists]
        if absent:
            raise NotLabelsError(
                f"{self._stream.name}: holds no labels: it is a COCO file without {' and '.join(absent)}; "
                "give COCO's instances file, which has images, annotations and categories"
            )

    def labelled(self, options: ReadOptions) -> Iterator[LabelledImage]:
        """Yield each image with its annotations."""
        for image_id, name in self._images.items():
            reading = AnnotationReading(self._stream.name, name, self._words, options)
            for position, text in enumerate(self._texts(image_id)):
                reading.add(_annotation.decode(text), text, position)
            yield reading.image(self._sizes.get(image_id))

    def astray(self) -> Iterator[LabelledImage]:
        """Yield what belongs to no image, each label with its reason."""
        if self._set_aside:
            yield LabelledImage("", self._stream.name, (), tuple(self._set_aside))
        for image_id in list(self._where):
            texts = list(self._texts(image_id))
            rejected = [self._rejected(reasons.NO_IMAGE_OF_ID, text, _annotation.decode(text).id) for text in texts]
            yield LabelledImage("", self._stream.name, (), tuple(rejected))

    def _take_images(self) -> None:
        for found, text in _elements(self._stream, _image):
            image_id, name = (id_of(found.id), found.file_name) if found else (None, None)
            if image_id is None or not isinstance(name, str) or not name.strip():
                self._set_aside.append(
                    self._rejected(reasons.NO_IMAGE_NAME if found else reasons.FRAME_NOT_OBJECT, text)
                )
            elif self._images.setdefault(image_id, name) != name:
                self._set_aside.append(self._rejected(reasons.ID_TWICE, text))
            elif found and (size := _size(found)):
                self._sizes.setdefault(image_id, size)

    def _take_categories(self) -> None:
        # A category that can't be read matters only where an annotation means it: that one is rejected then.
        for found, _ in _elements(self._stream, _category):
            category_id = id_of(found.id) if found else None
            if found and category_id is not None and isinstance(found.name, str) and found.name.strip():
                self._words.setdefault(category_id, found.name)

    def _take_annotations(self) -> None:
        for found, text in _elements(self._stream, _annotation):
            image_id = id_of(found.image_id) if found else None
            if image_id is None:
                self._set_aside.append(self._rejected(reasons.NO_IMAGE_OF_ID if found else reasons.NO_OBJECT, text))
                continue
            self._where[image_id].extend((self._spilled.tell(), len(text)))
            self._spilled.write(text)

    def _texts(self, image_id: Id) -> Iterator[bytes]:
        where = self._where.pop(image_id, array("q"))
        for start, length in zip(where[0::2], where[1::2], strict=True):
            self._spilled.seek(start)
            yield self._spilled.read(length)

    def _rejected(self, reason: str, text: bytes, label_id: Any = None) -> Rejected:
        return Rejected(self._stream.name, "", text_of_id(label_id), reason, text.decode("utf-8", "replace"))


def _elements(stream: JsonStream, decoder: "msgspec.json.Decoder[Element]") -> Iterator[tuple[Element | None, bytes]]:
    """Yield each element of a list with its JSON; None for one that is no object."""

    def decoded(block: bytes) -> list[tuple[Element | None, bytes]]:
        return [(_decoded(decoder, text), bytes(text)) for text in _values.decode(block)]

    for block in stream.blocks(decoded):
        yield from block


def _decoded(decoder: "msgspec.json.Decoder[Element]", text: msgspec.Raw) -> Element | None:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        msgspec.json.decode(text)  # raises where it isn't JSON at all, which the stream then mends
        return None


def _size(image: Image) -> tuple[int, int] | None:
    """Return width and height of an image; None where one isn't said, as many leave them 0."""
    width, height = image.width, image.height
    if not (isinstance(width, int | float) and isinstance(height, int | float) and width > 0 and height > 0):
        return None
    return int(min(width, reasons.FARTHEST)), int(min(height, reasons.FARTHEST))
