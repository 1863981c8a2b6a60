"""Collects what label files say of the images of the index: matched, clipped, stored; the last source wins an image.

Which of these images are kept, and in which split, is decided in `pipeline.labels`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa

from pipeline import formats
from pipeline.errors import ArchiveError, LabelFileError, NotLabelsError
from pipeline.instances.columns import vertices_before
from pipeline.instances.label_block import Digest, ImageRows, LabelBlock, content_of, image_attributes, video_of
from pipeline.instances.reasons import OTHER_SIZE
from pipeline.instances.records import Instance, LabelledImage, Rejected
from pipeline.instances.rejections import Rejections, told
from pipeline.instances.store import InstanceStore, Stored
from pipeline.instances.tables import json_text
from pipeline.labels import block_fitting
from pipeline.labels.clipping import Fitting
from pipeline.labels.files import LabelSource, StrayLabels
from pipeline.labels.filters import InstanceFilter
from pipeline.labels.frames import Frame, after, merged
from pipeline.labels.matching import ImageNames
from pipeline.labels.records import LabelFile, Match
from pipeline.recipe.sections import Labels
from pipeline.running.progress import Progress

REPLACED = "replaced by a later source"
SKIPPED = "label file passed over"
PASSED_OVER = "others of this source count; a file that source.labels names is read"
REPEATED = "a name that comes again"
LAST_COUNTS = "of a name that an archive has twice, the last file counts"
NOT_LABELS = "not a label file"
TWICE = "image named twice"
TWICE_ALIKE = "image named twice with the same labels"

WORTH_WORKERS = 64 << 20
"""Bytes of JSON from which it takes longer to read them than to start processes that help."""

log = logging.getLogger(__name__)


def started_workers(sources: Sequence[LabelSource]) -> formats.BlockWorkers:
    """Return the processes that read large files, already on their way where there is such a file."""
    workers = formats.BlockWorkers()
    if any(formats.size_of(file.path, None, None) >= WORTH_WORKERS for source in sources for file in source.files):
        workers.start()
    return workers


class _Offer(NamedTuple):
    """What a label file says of one image, however it was read."""

    source: str
    name: str
    usable: int
    """How many of its labels were not rejected."""
    instances: Callable[[], Sequence[Instance]]
    """Gives those."""
    rejected: Sequence[Rejected]
    unwanted: Callable[[], Sequence[Rejected]]
    """Gives its labels of other categories."""
    video: str | None
    attributes: str
    content: Digest
    keep: Callable[[int], Stored]
    """Fits the instances to the image in this row of the index, and stores them."""


class _Places(NamedTuple):
    """Where the rows of a block have gone."""

    batch: int
    before: list[int]
    """For each row, and for the end, how many rows before it were stored."""
    vertices: list[int]
    """For each row that was stored, and for the end, how many vertices stand before it."""
    left_out: dict[int, tuple[Instance, str]]
    others: list[tuple[str, int, int]]
    """The images that were kept: name in the index, first label of another category, and how many of them."""


class FrameCollector:
    """Reads label sources from the last to the first, so that what is already there wins."""

    def __init__(
        self, labels: Labels, index: pa.Table, names: ImageNames, store: InstanceStore, rejections: Rejections
    ) -> None:
        self.frames: dict[int, Frame] = {}
        """By row of the index."""
        self._labels = labels
        self._filter = InstanceFilter(labels)
        self._fit = Fitting(self._filter, labels.least_area)
        self._options = formats.ReadOptions.from_recipe(labels)
        self._images: list[str] = index["image"].to_pylist()
        self._sizes = list(zip(index["width"].to_pylist(), index["height"].to_pylist(), strict=True))
        self._names, self._store, self._rejections = names, store, rejections
        self._strays = StrayLabels()

    def collect(self, sources: Sequence[LabelSource], workers: formats.BlockWorkers) -> None:
        """Read all files, large ones with the help of `workers`.

        Raises LabelFileError for one that is damaged, or named by the recipe and no label file.
        """
        for source in sources:
            for path in source.skipped:
                self._rejections.add_file(f"{source.entry}/{path}", SKIPPED, PASSED_OVER)
            for path in source.repeated:
                self._rejections.add_file(f"{source.entry}/{path}", REPEATED, LAST_COUNTS)
        files = [(number, file) for number in reversed(range(len(sources))) for file in sources[number].files]
        with Progress("reading labels", unit="image") as progress, ExitStack() as stack:
            archives: dict[Path, ZipFile] = {}
            for number, file in files:
                if file.member is not None and file.path not in archives:
                    archives[file.path] = stack.enter_context(_opened(file.path))
                try:
                    for found in self._read(file, archives.get(file.path), workers):
                        progress.advance(self._place_all(found, file, number))
                except NotLabelsError as error:
                    self._set_aside(file, error)
        self._strays.tell(sources)

    def _set_aside(self, file: LabelFile, error: LabelFileError) -> None:
        """Leave out a file that was only found beside others; one that the recipe names must be a label file."""
        if file.named:
            raise error
        log.warning("set aside: %s", error)
        self._rejections.add_file(file.name, NOT_LABELS, str(error))

    def _read(
        self, file: LabelFile, archive: ZipFile | None, workers: formats.BlockWorkers
    ) -> Iterator[LabelBlock | LabelledImage]:
        large = formats.size_of(file.path, file.member, archive) >= WORTH_WORKERS
        return formats.read_blocks(
            file.path, file.member, self._options, archive, workers if large else None, file.name
        )

    def _place_all(self, found: LabelBlock | LabelledImage, file: LabelFile, number: int) -> int:
        """Give what was read to the images that it is of; return how many they are."""
        if isinstance(found, LabelledImage):
            self._place(self._offer(found), self._match(found, file), file, number)
            return 1
        matches = [self._names.find(image.name, file, image.video) for image in found.images]
        places = self._store_block(found, matches)
        for image, match in zip(found.images, matches, strict=True):
            offer = self._offer_rows(found, image, places) if isinstance(image, ImageRows) else self._offer(image)
            self._place(offer, match, file, number)
        self._rejections.add_others(found.source, places.others, found.others)
        return len(found.images)

    def _match(self, image: LabelledImage, file: LabelFile) -> Match:
        match = self._names.find(image.name, file, image.video)
        if match.row is not None and image.size not in (None, self._sizes[match.row]):
            return Match(None, OTHER_SIZE)
        return match

    def _offer(self, image: LabelledImage) -> _Offer:
        return _Offer(
            source=image.source,
            name=image.name,
            usable=len(image.instances),
            instances=lambda: image.instances,
            rejected=image.rejected,
            unwanted=lambda: image.unwanted,
            video=video_of(image.video, image.attributes),
            attributes=json_text(image_attributes(image.attributes)),
            content=content_of(image),
            keep=partial(self._keep, image),
        )

    def _offer_rows(self, block: LabelBlock, image: ImageRows, places: _Places) -> _Offer:
        return _Offer(
            source=block.source,
            name=image.name,
            usable=image.count,
            instances=lambda: block.instances_of(image),
            rejected=image.rejected,
            unwanted=lambda: block.others_of(image),
            video=image.frame_of,
            attributes=image.attributes,
            content=image.content,
            keep=partial(self._keep_rows, block, image, places),
        )

    def _place(self, offer: _Offer, match: Match, file: LabelFile, number: int) -> None:
        self._strays.count(number, offer.name, match.reason)
        if match.row is None:
            self._set_aside_labels(offer, match.reason, lost=True)
            return
        there = self.frames.get(match.row)
        if there is None:
            self.frames[match.row] = self._frame(offer, file, number, match.row)
            return
        if there.source == number and not there.said and offer.usable:
            # What has no usable label of an image doesn't stand in the way of what has: det_20 beside drivable.
            self.frames[match.row] = after(there, self._frame(offer, file, number, match.row))
            return
        if number < there.split_source:
            # A later source corrects labels: the image stays where the first one put it, also where that says nothing.
            there.split, there.split_source = file.split, number
        there.split = there.split or (file.split if number == there.split_source else None)
        if there.source > number:
            # What a source says of the whole image holds until a later one says something else of it.
            there.video = there.video or offer.video
            there.attributes = merged(offer.attributes, there.attributes)
        reason = TWICE_ALIKE if there.content == offer.content else TWICE
        reason = REPLACED if there.source > number else reason
        self._set_aside_labels(offer, reason, lost=reason == TWICE)

    def _set_aside_labels(self, offer: _Offer, reason: str, lost: bool) -> None:
        rejected = (*offer.rejected, *offer.unwanted())
        self._rejections.add_labels(offer.source, offer.name, offer.instances(), rejected, reason, lost)

    def _frame(self, offer: _Offer, file: LabelFile, number: int, row: int) -> Frame:
        for rejected in offer.rejected:
            self._rejections.add(replace(rejected, image=self._images[row]))
        filtered = self._rejections.filtered
        stored = offer.keep(row)
        said = stored.count > 0 or self._rejections.filtered > filtered
        return Frame(
            number, offer.source, stored, offer.video, offer.attributes, file.split, number, offer.content, said
        )

    def _keep(self, image: LabelledImage, row: int) -> Stored:
        kept = []
        for unwanted in image.unwanted:
            self._rejections.add(replace(unwanted, image=self._images[row]))
        for instance in image.instances:
            fitted, reason = self._fit(instance, *self._sizes[row])
            if fitted is not None:
                kept.append(fitted)
            else:
                self._leave_out(instance, reason, image.source, row)
        return self._store.add(kept, image.source)

    def _keep_rows(self, block: LabelBlock, image: ImageRows, places: _Places, row: int) -> Stored:
        """Say where the rows of the image are, which were fitted and stored with the whole block."""
        for place in range(image.start, image.start + image.count) if places.left_out else ():
            if place in places.left_out:
                self._leave_out(*places.left_out[place], block.source, row)
        places.others.append((self._images[row], image.first_other, image.other_count))
        start, end = places.before[image.start], places.before[image.start + image.count]
        return Stored(places.batch, start, end - start, places.vertices[end] - places.vertices[start])

    def _leave_out(self, instance: Instance, reason: str, source: str, row: int) -> None:
        self._rejections.add(Rejected(source, self._images[row], instance.id, reason, json_text(told(instance))))

    def _store_block(self, block: LabelBlock, matches: Sequence[Match]) -> _Places:
        """Fit the rows of a block to their images and store them; rows of images that aren't there go."""
        images = zip(block.images, matches, strict=True)
        counted = [(image.count, match.row) for image, match in images if isinstance(image, ImageRows)]
        sizes = [(-1, -1) if row is None else self._sizes[row] for _, row in counted]
        of_rows = np.repeat(np.array(sizes, np.int64).reshape(-1, 2), [count for count, _ in counted], axis=0)
        judged = self._filter.left_out(block.instances)
        fitted = block_fitting.fit(block.instances, of_rows, self._labels.least_area, self._fit, judged)
        before = np.searchsorted(fitted.kept, np.arange(len(of_rows) + 1)).tolist()
        vertices = vertices_before(fitted.batch["polygons"]).tolist()
        # marked last: a label that is left out is told as its source gives it
        number = self._store.add_batch(self._filter.marked_rows(fitted.batch))
        return _Places(number, before, vertices, fitted.left_out, [])


def _opened(archive: Path) -> ZipFile:
    try:
        return ZipFile(archive)
    except (OSError, BadZipFile, NotImplementedError) as error:
        raise ArchiveError(f"{archive}: can't be read as a zip archive: {error}") from None
