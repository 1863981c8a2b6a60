"""Collects what label files say of the images of the index: matched, clipped, stored; the last source wins an image.

Which of these images are kept, and in which split, is decided in `pipeline.labels`.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import msgspec
import pyarrow as pa

from pipeline import readers, recipe
from pipeline.errors import ArchiveError, LabelFileError, NotLabelsError
from pipeline.geometry import polygon
from pipeline.instance_store import InstanceStore, Stored
from pipeline.instances import Instance, LabelledImage, Rejected
from pipeline.label_matching import ImageNames, LabelFile
from pipeline.label_sources import LabelSource
from pipeline.progress import Progress
from pipeline.rejections import Rejections
from pipeline.tables import json_text

REPLACED = "replaced by a later source"
SKIPPED = "label file passed over"
NOT_LABELS = "not a label file"
TWICE = "image named twice"
TWICE_ALIKE = "image named twice with the same labels"
OUTSIDE = "outside the image"
TOO_SMALL = "smaller than least_area"

log = logging.getLogger(__name__)


@dataclass
class Frame:
    """What the labels say of one image of the index."""

    source: int
    """Position of its label source in the recipe."""
    file: str
    stored: Stored
    video: str | None
    attributes: str
    """JSON."""
    split: str | None
    """What the path of a label file says, the last one that says anything."""
    content: int
    """Hash of the labels, equal for equal labels."""


class FrameCollector:
    """Reads label sources from the last to the first, so that what is already there wins."""

    def __init__(
        self, labels: recipe.Labels, index: pa.Table, names: ImageNames, store: InstanceStore, rejections: Rejections
    ) -> None:
        self.frames: dict[int, Frame] = {}
        """By row of the index."""
        self.unwanted = 0
        """Labels of categories that the recipe doesn't name, in the frames kept."""
        self._labels = labels
        self._options = readers.ReadOptions.from_recipe(labels)
        self._images: list[str] = index["image"].to_pylist()
        self._sizes = list(zip(index["width"].to_pylist(), index["height"].to_pylist(), strict=True))
        self._names, self._store, self._rejections = names, store, rejections

    def collect(self, sources: Sequence[LabelSource]) -> None:
        """Read all files; raises LabelFileError for one that is damaged, or named by the recipe and no label file."""
        for source in sources:
            for path in source.skipped:
                self._rejections.add_file(
                    f"{source.entry}/{path}", SKIPPED, "another file of this source says the same"
                )
        files = [(number, file) for number in reversed(range(len(sources))) for file in sources[number].files]
        with Progress("reading labels", unit="image") as progress, ExitStack() as stack:
            archives: dict[Path, ZipFile] = {}
            for number, file in files:
                if file.member is not None and file.path not in archives:
                    archives[file.path] = stack.enter_context(_opened(file.path))
                try:
                    for frame in readers.read(file.path, file.member, self._options, archives.get(file.path)):
                        self._place(frame, file, number)
                        progress.advance()
                except NotLabelsError as error:
                    self._set_aside(file, error)

    def _set_aside(self, file: LabelFile, error: LabelFileError) -> None:
        """Leave out a file that was only found beside others; one that the recipe names must be a label file."""
        if file.named:
            raise error
        log.warning("set aside: %s", error)
        self._rejections.add_file(str(file), NOT_LABELS, str(error))

    def _place(self, frame: LabelledImage, file: LabelFile, number: int) -> None:
        match = self._names.find(frame.name, file, frame.video)
        if match.row is None:
            self._rejections.add_frame(frame, match.reason, lost=True)
            return
        there = self.frames.get(match.row)
        if there is None:
            self.frames[match.row] = self._store_frame(frame, file, number, match.row)
            return
        there.split = there.split or file.split
        if there.source > number:
            self._rejections.add_frame(frame, REPLACED, lost=False)
        elif there.content == _content(frame):
            self._rejections.add_frame(frame, TWICE_ALIKE, lost=False)
        else:
            self._rejections.add_frame(frame, TWICE, lost=True)

    def _store_frame(self, frame: LabelledImage, file: LabelFile, number: int, row: int) -> Frame:
        image = self._images[row]
        for rejected in frame.rejected:
            self._rejections.add(replace(rejected, image=image))
        kept = []
        for instance in frame.instances:
            fitted, reason = self._fit(instance, *self._sizes[row])
            if fitted is not None:
                kept.append(fitted)
                continue
            label = json_text(
                {"category": instance.source_category, "rings": [ring.tolist() for ring in instance.rings]}
            )
            self._rejections.add(Rejected(frame.source, image, instance.id, reason, label))
        self.unwanted += frame.unwanted
        return Frame(
            source=number,
            file=frame.source,
            stored=self._store.add(kept, frame.source),
            video=frame.video or _text(frame.attributes.get("video")),
            attributes=json_text(image_attributes(frame)),
            split=file.split,
            content=_content(frame),
        )

    def _fit(self, instance: Instance, width: int, height: int) -> tuple[Instance | None, str]:
        """Return the part of the instance inside the image, or None and why nothing is left of it."""
        box = instance.box
        inside = box.x >= 0 and box.y >= 0 and box.x + box.width <= width and box.y + box.height <= height
        rings = instance.rings if inside and instance.geometry == "box" else _clipped(instance, width, height)
        if not rings:
            return None, OUTSIDE
        least = self._labels.least_area
        if least and sum(polygon.area(ring) for ring in rings) < least:
            return None, TOO_SMALL
        if rings is instance.rings:
            return instance, ""
        return replace(instance, rings=rings, box=polygon.bounds(rings)), ""


def _opened(archive: Path) -> ZipFile:
    try:
        return ZipFile(archive)
    except (OSError, BadZipFile, NotImplementedError) as error:
        raise ArchiveError(f"{archive}: can't be read as a zip archive: {error}") from None


def _clipped(instance: Instance, width: int, height: int) -> tuple[polygon.Ring, ...]:
    """Return the rings inside the image, the very same tuple when all of them lie inside."""
    for ring in instance.rings:
        if ring.min() < 0 or ring[:, 0].max() > width or ring[:, 1].max() > height:
            return polygon.clip(instance.rings, width, height)
    return instance.rings


def _content(frame: LabelledImage) -> int:
    """Return a hash of what the labels say; within one run, equal for equal labels."""
    return hash(
        tuple(
            (each.id, each.category, each.crowd, each.ignored, *(ring.tobytes() for ring in each.rings))
            for each in frame.instances
        )
    )


def image_attributes(frame: LabelledImage) -> dict[str, Any]:
    """Return the image's attributes, without its video, with those that `via_format.file_attributes` packed as JSON."""
    attributes = {key: value for key, value in frame.attributes.items() if key != "video"}
    packed = attributes.get("attributes")
    try:
        rest = msgspec.json.decode(packed) if isinstance(packed, str) else None
    except (msgspec.DecodeError, RecursionError):
        return attributes
    if not isinstance(rest, dict):
        return attributes
    del attributes["attributes"]
    return rest | attributes


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
