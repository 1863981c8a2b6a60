"""Merges the labels of all sources: each image of the index gets the labels of the last source that labels it."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.instances.reasons import (
    FILTER_REASONS,
    NO_SUCH_IMAGE,
    OTHER_FILE,
    REPEATED,
    REPLACED,
    SKIPPED,
    TWICE,
    TWICE_ALIKE,
)
from pipeline.instances.tables import IMAGES_FILE, Rejected, json_text, read_table
from pipeline.labels import matching
from pipeline.labels.clipping import Reasons, clipped
from pipeline.labels.filters import add_flag_reasons, with_ignored
from pipeline.labels.matching import ImageNames, Rows
from pipeline.labels.rejections import Rejections, labels_as_json
from pipeline.labels.selection import Selection, select
from pipeline.labels.splits import LabelledImage
from pipeline.recipe.sections import Labels
from pipeline.sources.label_files import LabelFile, LabelSource

SKIPPED_NOTE = "others of this source count; a file that source.labels names is read"
REPEATED_NOTE = "of a name that an archive has twice, the last file counts"

ROWS_AT_ONCE = 16_384
"""Labels that are converted or written at once."""
COMPARED = ("instance_id", "category", "crowd", "ignored", "polygons")
"""Columns in which the labels of two entries must be equal to be the same."""

Item = TypeVar("Item")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entries:
    """The entries of label files, rows of the raw images.parquet, in the order in which they count."""

    order: Sequence[int]
    names: Sequence[str]
    files: Sequence[str]
    """Display names of their label files."""
    rows: Rows
    """Row of the index that each names ([N], -1: none), also where its labels are those of an image of another size."""
    reasons: Sequence[str]
    """Why an entry's labels are left out as a whole; empty: they are not."""
    kept_earlier: Sequence[int]
    """Entries of later sources that have no wanted labels, whose images keep those of an earlier source."""


@dataclass(frozen=True)
class MergedLabels:
    """The labelled images of the index, by row, and their labels."""

    images: dict[int, LabelledImage]
    labels: pa.Table
    """Columns as in `tables.LABELS`, except for `source` and `split`; `image` is a row of the raw images.parquet."""
    rows: Rows
    """The rows of the labels that are kept, those of an image together."""
    selection: Selection
    """All wanted labels, and what is known of the others."""
    reasons: Reasons
    """Why each label of the selection is left out ([N] str, empty: it isn't)."""
    entries: "Entries"

    def rows_of(self, image: LabelledImage) -> Rows:
        """Return the rows of an image's labels."""
        return self.rows[image.start : image.start + image.count]

    def labels_of(self, images: Sequence[LabelledImage]) -> pa.Table:
        """Return the labels of images, image by image."""
        return self.labels.take(_concatenated(self.rows_of(image) for image in images))


def portions(items: Iterable[tuple[Item, Rows]]) -> Iterator[list[tuple[Item, Rows]]]:
    """Yield items in lists of about `ROWS_AT_ONCE` rows."""
    portion: list[tuple[Item, Rows]] = []
    count = 0
    for item, rows in items:
        portion.append((item, rows))
        count += len(rows) + 1
        if count >= ROWS_AT_ONCE:
            yield portion
            portion, count = [], 0
    if portion:
        yield portion


def with_labels(labels: pa.Table, items: Iterable[tuple[Item, Rows]]) -> Iterator[tuple[Item, list[dict[str, Any]]]]:
    """Yield each item with the labels in its rows, as `rejections.labels_as_json`."""
    for portion in portions(items):
        converted = labels_as_json(labels.take(_concatenated(rows for _, rows in portion)))
        for item, rows in portion:
            yield item, [next(converted) for _ in range(len(rows))]


def _concatenated(rows: Iterable[Rows]) -> pa.Array:
    return pa.array(np.concatenate([np.empty(0, np.int64), *rows]))


def merge(
    recipe: Labels,
    raw_labels: Path,
    sources: Sequence[LabelSource],
    index: pa.Table,
    names: ImageNames,
    rejections: Rejections,
) -> MergedLabels:
    """Return the labelled images of the index and their labels; write those that are left out to `rejections`.

    Raises ArtifactError if the tables in `raw_labels` can't be read.
    """
    entries = read_table(raw_labels / IMAGES_FILE, "raw_labels")
    selection = select(raw_labels, entries, sources, recipe)
    _reject_files(sources, selection.unread_files, rejections)
    named_rows, entry_reasons = matching.match(entries, sources, names)
    image_rows = matching.without_other_sizes(entries, named_rows, entry_reasons, index, selection)
    matching.log_unmatched(sources, entries, entry_reasons)
    selection.labels, reasons = _fit(recipe, selection, image_rows, index)
    has_size = matching.has_size_of_file(entries, image_rows, index)
    merger = _Merger(entries, sources, index, selection, reasons, has_size, recipe.later_sources_may_empty)
    order = matching.precedence(entries, sources, image_rows, names, has_size)
    for entry in order:
        entry_reasons[entry] = entry_reasons[entry] or merger.add(entry, int(image_rows[entry]))
    merger.write_rejected(order, image_rows, entry_reasons, rejections)
    rows = merger.finish(image_rows)
    files = [sources[source].files[file].name for source, file in matching.files_of(entries)]
    found = Entries(order, entries["name"].to_pylist(), files, named_rows, entry_reasons, merger.kept_earlier)
    return MergedLabels(merger.images, with_ignored(selection.labels, recipe), rows, selection, reasons, found)


def _reject_files(sources: Sequence[LabelSource], unread: Sequence[Rejected], rejections: Rejections) -> None:
    for source in sources:
        for paths, reason, note in (
            (source.skipped, SKIPPED, SKIPPED_NOTE),
            (source.repeated, REPEATED, REPEATED_NOTE),
        ):
            for path in paths:
                rejections.add(Rejected(f"{source.entry}/{path}", "", "", reason, json_text({"file": note})))
    for file in unread:
        rejections.add(file)


def _fit(recipe: Labels, selection: Selection, image_rows: Rows, index: pa.Table) -> tuple[pa.Table, Reasons]:
    """Return the labels clipped to their images, and why they are left out ([N] str, empty: they are not)."""
    row_of = image_rows[selection.labels["image"].to_numpy()]
    reasons = np.where((selection.reasons == "") & (row_of < 0), NO_SUCH_IMAGE, selection.reasons)
    sizes = matching.sizes_of(index)[row_of]
    parts: list[pa.RecordBatch] = []
    start = 0
    for batch in selection.labels.to_batches():
        rows = slice(start, start + len(batch))
        add_flag_reasons(batch, recipe, reasons[rows])
        fitted, reasons[rows] = clipped(batch, sizes[rows], reasons[rows], recipe.least_area)
        parts.append(fitted)
        start = rows.stop
    return pa.Table.from_batches(parts, selection.labels.schema).combine_chunks(), reasons


class _Merger:
    """Gives the images of the index the labels of entries, which are rows of the raw images.parquet."""

    def __init__(
        self,
        entries: pa.Table,
        sources: Sequence[LabelSource],
        index: pa.Table,
        selection: Selection,
        reasons: Reasons,
        has_size: NDArray[np.bool_],
        later_may_empty: bool,
    ) -> None:
        """`reasons` ([N] str) say why labels of the selection, fitted to their images, are left out.

        `has_size` says which entries state the size of the image's file, `later_may_empty` whether a later source
        without wanted labels takes away those of an earlier one.
        """
        self.images: dict[int, LabelledImage] = {}
        """By row of the index."""
        self.kept_earlier: list[int] = []
        """Entries of later sources without wanted labels, whose images keep those of an earlier source."""
        self._has_size, self._later_may_empty = has_size, later_may_empty
        self._sizes = entries["size"].to_pylist()
        self._index, self._sources, self._selection, self._reasons = index, sources, selection, reasons
        self._image_names, self._paths, self._digests = (
            index[name].to_pylist() for name in ("image", "path", "sha256")
        )
        self._source_of, self._file_of, self._names, self._videos, self._attributes = (
            entries[name].to_pylist() for name in ("source", "file_index", "name", "video", "attributes")
        )
        self._entry_of = selection.labels["image"].to_numpy()
        self._ends = np.searchsorted(self._entry_of, np.arange(len(entries) + 1))
        is_usable = selection.reasons == ""
        is_instance = (reasons == "") | (is_usable & np.isin(reasons, list(FILTER_REASONS)))
        self._has_usable = np.bincount(self._entry_of[is_usable], minlength=len(entries)) > 0
        self._has_instances = np.bincount(self._entry_of[is_instance], minlength=len(entries)) > 0
        """Whether an entry has labels that are kept, or left out by a filter of the recipe."""

    def add(self, entry: int, row: int) -> str:
        """Give the labels of an entry to the image in a row of the index; return the reason if they are left out.

        Entries are added from the last source to the first.
        """
        image = self.images.get(row)
        if image is None:
            self.images[row] = LabelledImage(
                self._image_names[row],
                self._digests[row],
                video=self._videos[entry],
                file_name=self._paths[row].rpartition("/")[2],
                attributes=self._attributes[entry],
                row=row,
                entry=entry,
                label_file=self._file(entry).name,
            )
            return ""
        is_later = self._source_of[entry] < self._source_of[image.entry]
        may_take = not (is_later and self._later_may_empty)
        if may_take and not self._has_instances[image.entry] and self._has_usable[entry]:
            # Files of one source may label different categories, as det_20 and drivable do.
            self.kept_earlier += [image.entry] if is_later else []
            image.entry, image.label_file = entry, self._file(entry).name
            self._complete(image, entry)
            return ""
        if is_later:
            self._complete(image, entry)
            return REPLACED
        if self._are_equal(image.entry, entry):
            return TWICE_ALIKE
        is_of_other_file = self._has_size[image.entry] and self._sizes[entry] and not self._has_size[entry]
        return OTHER_FILE if is_of_other_file else TWICE

    def _complete(self, image: LabelledImage, entry: int) -> None:
        """Take the video and attributes of the image from an entry of lower priority where they are not known."""
        image.video = image.video or self._videos[entry]
        image.attributes = _merged_attributes(self._attributes[entry], image.attributes)

    def _file(self, entry: int) -> LabelFile:
        return self._sources[self._source_of[entry]].files[self._file_of[entry]]

    def _are_equal(self, *entries: int) -> bool:
        first, second = (
            self._selection.labels.slice(self._ends[entry], self._ends[entry + 1] - self._ends[entry]).select(COMPARED)
            for entry in entries
        )
        unread = [
            [(each.label_id, each.reason, each.label) for each in self._selection.unread.get(entry, ())]
            for entry in entries
        ]
        return bool(first.equals(second)) and unread[0] == unread[1]

    def finish(self, image_rows: Rows) -> Rows:
        """Return the rows of the labels that are kept; set the images' ranges of them, and their splits by path."""
        is_taken = np.zeros(len(self._ends) - 1, bool)
        is_taken[[image.entry for image in self.images.values()]] = True
        rows = np.flatnonzero((self._reasons == "") & is_taken[self._entry_of])
        ends = np.searchsorted(self._entry_of[rows], np.arange(len(self._ends))).tolist()
        label_splits, splits = self._label_splits(image_rows), self._index["split"].to_pylist()
        for row, image in self.images.items():
            image.start, image.count = ends[image.entry], ends[image.entry + 1] - ends[image.entry]
            image.path_split = splits[row] or label_splits[row]
        return rows

    def _label_splits(self, image_rows: Rows) -> dict[int, str | None]:
        """Return the split that label files name for each image: those of the first source that labels it.

        A later source corrects labels and leaves the image in its split.
        """
        first_source: dict[int, int] = {}
        splits: dict[int, str | None] = {}
        for entry, row in enumerate(image_rows.tolist()):
            if row >= 0 and first_source.setdefault(row, self._source_of[entry]) == self._source_of[entry]:
                splits[row] = splits.get(row) or self._file(entry).split
        return splits

    def write_rejected(
        self, order: Sequence[int], image_rows: Rows, entry_reasons: Sequence[str], rejections: Rejections
    ) -> None:
        """Write, in the order of entries, the labels that are left out one by one or with their entry."""
        items = (((entry, rows), rows) for entry, rows in self._left_out(order, entry_reasons))
        for (entry, rows), labels in with_labels(self._selection.labels, items):
            file, reason = self._file(entry).name, entry_reasons[entry]
            unread = self._selection.unread.get(entry, [])
            if not reason:
                image = self._image_names[image_rows[entry]]
                rejected = _rejected(file, image, labels, self._reasons[rows])
                for each in (*(replace(each, image=image) for each in unread), *rejected):
                    rejections.add_label(each)
                continue
            image, own_reasons = self._names[entry], self._selection.reasons[rows]
            rejected = [*unread, *_rejected(file, image, labels, own_reasons)]
            usable = [label for label, own in zip(labels, own_reasons, strict=True) if not own]
            is_replaced = reason in (REPLACED, TWICE_ALIKE)
            add = rejections.add_image if is_replaced else rejections.add_image_with_fault
            add(file, image, reason, usable, rejected)

    def _left_out(self, order: Sequence[int], entry_reasons: Sequence[str]) -> Iterator[tuple[int, Rows]]:
        """Yield the entries of which something is left out, and the rows of these labels."""
        is_left_out = self._reasons != ""
        for entry in order:
            start, end = self._ends[entry : entry + 2]
            if entry_reasons[entry]:
                yield entry, np.arange(start, end)
            elif is_left_out[start:end].any() or entry in self._selection.unread:
                yield entry, start + np.flatnonzero(is_left_out[start:end])


def _rejected(file: str, image: str, labels: Sequence[dict[str, Any]], reasons: Reasons) -> list[Rejected]:
    """Return a row for each label that has a reason."""
    return [
        Rejected(file, image, label["id"], reason, json_text({key: label[key] for key in label if key != "id"}))
        for label, reason in zip(labels, reasons, strict=True)
        if reason
    ]


def _merged_attributes(earlier: str, later: str) -> str:
    """Return the attributes (JSON) of two sources: a later value replaces an earlier one unless it is empty."""
    if "{}" in (earlier, later):
        return later if earlier == "{}" else earlier
    old, new = msgspec.json.decode(earlier), msgspec.json.decode(later)
    return json_text(old | {key: value for key, value in new.items() if value not in ("", None) or key not in old})
