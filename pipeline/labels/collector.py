"""Collects what label files say of the images of the index: matched, clipped; the last source wins an image.

Which of these images are kept, and in which split, is decided in `pipeline.labels`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.instances.reasons import LABEL_REASONS, NO_SUCH_IMAGE
from pipeline.instances.records import Rejected
from pipeline.instances.rejections import Rejections, told
from pipeline.instances.tables import IMAGES_FILE, json_text
from pipeline.labels.clipping import OTHER_SIZE, Reasons, clipped
from pipeline.labels.files import LabelSource, log_absent, read_table
from pipeline.labels.filters import InstanceFilter
from pipeline.labels.matching import ImageNames
from pipeline.labels.records import LabelFile, Match
from pipeline.labels.selection import Selection, select
from pipeline.recipe.sections import Labels

REPLACED = "replaced by a later source"
SKIPPED = "label file passed over"
PASSED_OVER = "others of this source count; a file that source.labels names is read"
REPEATED = "a name that comes again"
LAST_COUNTS = "of a name that an archive has twice, the last file counts"
TWICE = "image named twice"
TWICE_ALIKE = "image named twice with the same labels"

ROWS_AT_ONCE = 16_384
"""Labels that are looked at one by one, or written, at once."""
COMPARED = ("instance_id", "category", "crowd", "ignored", "polygons")
"""Columns by which two sets of labels of an image are the same."""

Rows = NDArray[np.int64]

Item = TypeVar("Item")


class Frame(msgspec.Struct):
    """What the labels say of one image of the index."""

    row: int
    """Of the index."""
    image: str
    """Its name there."""
    entry: int
    """Row of the raw images.parquet that its labels come from."""
    source: int
    """Position of its label source in the recipe."""
    file: str
    video: str | None
    attributes: str
    """JSON."""
    split: str | None
    """What the path of a label file of the first source that labels the image says, if anything."""
    split_source: int
    """Position of that source in the recipe."""
    start: int = 0
    count: int = 0
    """Its labels: where they start in `Collected.rows`, and how many there are."""


@dataclass(frozen=True)
class Collected:
    """The images of the index that are labelled, by row, and their labels."""

    frames: dict[int, Frame]
    labels: pa.Table
    """Columns as in `tables.LABELS`, but for `image`, a row of the raw images.parquet, and `source`."""
    rows: Rows
    """Those of the labels that are kept, an image's together."""
    unwanted: Counter[str]
    """How many labels of other categories there are, by category."""

    def rows_of(self, frame: Frame) -> Rows:
        """Return the rows of an image's labels."""
        return self.rows[frame.start : frame.start + frame.count]

    def labels_of(self, frames: Sequence[Frame]) -> pa.Table:
        """Return the labels of images, image by image."""
        return taken(self.labels, [self.rows_of(frame) for frame in frames])


def taken(labels: pa.Table, rows: Sequence[Rows]) -> pa.Table:
    """Return some rows of a table, one after the other; of each of its chunks at once, since lists are copied whole."""
    asked = np.concatenate([np.empty(0, np.int64), *rows])
    batches = labels.to_batches()
    starts = np.cumsum([0, *map(len, batches)])
    chunk_of = np.searchsorted(starts, asked, side="right") - 1
    order = np.argsort(chunk_of, kind="stable")
    ends = np.searchsorted(chunk_of[order], np.arange(len(batches) + 1))
    pieces = [
        batches[chunk].take(pa.array(asked[order[ends[chunk] : ends[chunk + 1]]] - starts[chunk]))
        for chunk in np.flatnonzero(np.diff(ends))
    ]
    table = pa.Table.from_batches(pieces, labels.schema)
    return table if (np.diff(order) == 1).all() else table.combine_chunks().take(pa.array(np.argsort(order)))


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
    """Yield each item with what the labels in its rows say, as `rejections.told`."""
    for portion in portions(items):
        said = told(taken(labels, [rows for _, rows in portion]))
        for item, rows in portion:
            yield item, [next(said) for _ in range(len(rows))]


def collect(
    recipe: Labels,
    raw_labels: Path,
    sources: Sequence[LabelSource],
    index: pa.Table,
    names: ImageNames,
    rejections: Rejections,
) -> Collected:
    """Return the labelled images of the index and their labels; what is left out goes to `rejections`.

    Raises ArtifactError where the tables in `raw_labels` can't be read.
    """
    images = read_table(raw_labels / IMAGES_FILE)
    selection = select(raw_labels, images, sources, recipe)
    _add_files(sources, selection.files, rejections)
    matches = _matches(images, sources, names, index, selection)
    log_absent(sources, images["source"].to_pylist(), images["name"].to_pylist(), matches)
    selection.labels, reasons = _fitted(recipe, selection, matches, index)
    placing = _Placing(images, sources, index, selection, reasons)
    for entry in _last_source_first(images["source"].to_numpy()):
        placing.place(entry, matches[entry])
    placing.write_left_out(rejections)
    rows = placing.set_rows()
    return Collected(placing.frames, InstanceFilter(recipe).marked(selection.labels), rows, selection.unwanted)


def _add_files(sources: Sequence[LabelSource], unread: Sequence[Rejected], rejections: Rejections) -> None:
    for source in sources:
        for path in source.skipped:
            rejections.add_file(f"{source.entry}/{path}", SKIPPED, PASSED_OVER)
        for path in source.repeated:
            rejections.add_file(f"{source.entry}/{path}", REPEATED, LAST_COUNTS)
    for file in unread:
        rejections.add_unread_file(file)


def _matches(
    images: pa.Table, sources: Sequence[LabelSource], names: ImageNames, index: pa.Table, selection: Selection
) -> list[Match]:
    """Return the image of the index that each entry of the raw images.parquet means.

    Labels of an image of another size don't fit it, but for run-length masks, which tell their size themselves.
    """
    columns = [images[name].to_pylist() for name in ("source", "file_index", "name", "video")]
    found = [
        names.find(name, sources[source].files[file], video) for source, file, name, video in zip(*columns, strict=True)
    ]
    sized = pc.is_valid(images["width"]).to_numpy()
    if sized.any():
        usable = (selection.reasons == "") & pc.is_null(selection.labels["mask_width"]).to_numpy()
        labelled = np.bincount(selection.labels["image"].to_numpy()[usable], minlength=len(images)) > 0
        given, known = _sizes(images), _sizes(index)
        for entry in np.flatnonzero(sized & labelled).tolist():
            row = found[entry].row
            if row is not None and (given[entry] != known[row]).any():
                found[entry] = Match(None, OTHER_SIZE)
    return found


def _sizes(images: pa.Table) -> NDArray[np.int64]:
    """Return width and height of images ([N, 2]), -1 where they aren't known."""
    sides = [images[side].fill_null(-1).to_numpy().astype(np.int64) for side in ("width", "height")]
    return np.stack(sides, axis=1)


def _fitted(
    recipe: Labels, selection: Selection, matches: Sequence[Match], index: pa.Table
) -> tuple[pa.Table, Reasons]:
    """Return the labels as they lie in their images, and why ([N] str) they are left out, if they are."""
    row_of = np.array([-1 if match.row is None else match.row for match in matches], np.int64)
    row_of = row_of[selection.labels["image"].to_numpy()]
    reasons = np.where((selection.reasons == "") & (row_of < 0), NO_SUCH_IMAGE, selection.reasons)
    sizes, chosen = _sizes(index)[row_of], InstanceFilter(recipe)
    parts: list[pa.RecordBatch] = []
    start = 0
    for batch in selection.labels.to_batches():
        rows = slice(start, start + len(batch))
        chosen.add_reasons(batch, reasons[rows])
        fitted, reasons[rows] = clipped(batch, sizes[rows], reasons[rows], recipe.least_area)
        parts.append(fitted)
        start = rows.stop
    return pa.Table.from_batches(parts, selection.labels.schema), reasons


def _last_source_first(sources: NDArray[np.int32]) -> list[int]:
    """Return the entries of sources ([N]) from the last source to the first, those of one in their order."""
    return [int(entry) for entry in np.argsort(-sources, kind="stable")]


class _Outcome(NamedTuple):
    """What becomes of what a label file says of an image."""

    entry: int
    image: str
    """Name of the image that it goes to; empty where it is set aside, with the reason."""
    reason: str = ""
    lost: bool = False
    """Whether the labels are set aside for a fault, and don't stand elsewhere."""


class _Placing:
    """Gives labels to the images that they are of, from the last source to the first: what is already there wins."""

    def __init__(
        self,
        images: pa.Table,
        sources: Sequence[LabelSource],
        index: pa.Table,
        selection: Selection,
        reasons: Reasons,
    ) -> None:
        """`reasons` ([N] str) say why labels of the selection, as they lie in their images, are left out."""
        self.frames: dict[int, Frame] = {}
        """By row of the index."""
        self._sources, self._selection, self._labels, self._reasons = sources, selection, selection.labels, reasons
        self._index_names: list[str] = index["image"].to_pylist()
        self._source_of, self._file_of, self._names, self._videos, self._attributes = (
            images[name].to_pylist() for name in ("source", "file_index", "name", "video", "attributes")
        )
        entry_of = self._labels["image"].to_numpy()
        self._ends = np.searchsorted(entry_of, np.arange(len(images) + 1))
        filtered = np.isin(reasons, list(LABEL_REASONS)) & (selection.reasons == "")
        self._usable = np.bincount(entry_of[selection.reasons == ""], minlength=len(images)) > 0
        self._counts = np.bincount(entry_of[(reasons == "") | filtered], minlength=len(images)) > 0
        """Whether an entry has usable labels of wanted categories, be they kept or left out as the recipe asks."""
        self._outcomes: list[_Outcome] = []

    def place(self, entry: int, match: Match) -> None:
        """Give the labels of an entry to its image, or set them aside."""
        if match.row is None:
            self._outcomes.append(_Outcome(entry, "", match.reason, lost=True))
            return
        there, source = self.frames.get(match.row), self._source_of[entry]
        if there is None:
            self.frames[match.row] = self._frame(entry, match.row)
            return
        file = self._file(entry)
        if there.source == source and not self._counts[there.entry] and self._usable[entry]:
            # What has no usable label of an image doesn't stand in the way of what has: det_20 beside drivable.
            self.frames[match.row] = _after(there, self._frame(entry, match.row))
            return
        if source < there.split_source:
            # A later source corrects labels: the image stays where the first one put it, also where that says nothing.
            there.split, there.split_source = file.split, source
        there.split = there.split or (file.split if source == there.split_source else None)
        if there.source > source:
            # What a source says of the whole image holds until a later one says something else of it.
            there.video = there.video or self._videos[entry]
            there.attributes = _merged(self._attributes[entry], there.attributes)
        reason = REPLACED
        if there.source == source:
            reason = TWICE_ALIKE if self._are_alike(there.entry, entry) else TWICE
        self._outcomes.append(_Outcome(entry, "", reason, lost=reason == TWICE))

    def _frame(self, entry: int, row: int) -> Frame:
        file, source, image = self._file(entry), self._source_of[entry], self._index_names[row]
        self._outcomes.append(_Outcome(entry, image))
        of_image = (self._videos[entry], self._attributes[entry], file.split)
        return Frame(row, image, entry, source, file.name, *of_image, split_source=source)

    def _file(self, entry: int) -> LabelFile:
        return self._sources[self._source_of[entry]].files[self._file_of[entry]]

    def _are_alike(self, one: int, other: int) -> bool:
        its = [self._labels.slice(self._ends[entry], self._count(entry)).select(COMPARED) for entry in (one, other)]
        rejected = [
            [(each.label_id, each.reason, each.label) for each in self._selection.rejected.get(entry, ())]
            for entry in (one, other)
        ]
        return bool(its[0].equals(its[1])) and rejected[0] == rejected[1]

    def _count(self, entry: int) -> int:
        return int(self._ends[entry + 1] - self._ends[entry])

    def set_rows(self) -> Rows:
        """Return the rows of labels that are kept, and tell each frame which of these are its own."""
        winners = np.zeros(len(self._ends) - 1, bool)
        winners[[frame.entry for frame in self.frames.values()]] = True
        entry_of = self._labels["image"].to_numpy()
        rows = np.flatnonzero((self._reasons == "") & winners[entry_of])
        ends = np.searchsorted(entry_of[rows], np.arange(len(self._ends))).tolist()
        for frame in self.frames.values():
            frame.start, frame.count = ends[frame.entry], ends[frame.entry + 1] - ends[frame.entry]
        return rows

    def write_left_out(self, rejections: Rejections) -> None:
        """Count and write the labels that can't be used, and those that are set aside with what is said of an image."""
        for (outcome, rows), labels in with_labels(self._labels, self._left_out()):
            source = self._file(outcome.entry).name
            rejected = self._selection.rejected.get(outcome.entry, [])
            if outcome.image:
                for each in rejected:
                    rejections.add(replace(each, image=outcome.image))
                for each in self._rejected(source, outcome.image, rows, labels, self._reasons):
                    rejections.add(each)
                continue
            name, own = self._names[outcome.entry], self._selection.reasons[rows]
            usable = [label for label, reason in zip(labels, own, strict=True) if not reason]
            rejected = [*rejected, *self._rejected(source, name, rows, labels, self._selection.reasons)]
            add = rejections.add_lost if outcome.lost else rejections.add_image
            add(source, name, outcome.reason, usable, rejected)

    def _left_out(self) -> Iterator[tuple[tuple[_Outcome, Rows], Rows]]:
        """Yield the outcomes by which anything is left out, and the rows of those labels."""
        left_out = np.flatnonzero(self._reasons != "")
        ends = np.searchsorted(left_out, self._ends).tolist()
        for outcome in self._outcomes:
            entry = outcome.entry
            rows = left_out[ends[entry] : ends[entry + 1]]
            if not outcome.image:
                rows = np.arange(self._ends[entry], self._ends[entry + 1])
            elif not len(rows) and entry not in self._selection.rejected:
                continue
            yield (outcome, rows), rows

    @staticmethod
    def _rejected(
        source: str, image: str, rows: Rows, labels: Sequence[dict[str, Any]], reasons: Reasons
    ) -> Iterator[Rejected]:
        """Yield a row for each of the labels that has a reason."""
        for row, label in zip(rows.tolist(), labels, strict=True):
            if reasons[row]:
                told_of = {key: value for key, value in label.items() if key != "id"}
                yield Rejected(source, image, label["id"], reasons[row], json_text(told_of))


def _after(first: Frame, frame: Frame) -> Frame:
    """Return `frame` with what `first`, of the same source and without instances, says of the image itself."""
    frame.video = first.video or frame.video
    frame.attributes = _merged(frame.attributes, first.attributes)
    frame.split = first.split or frame.split
    return frame


def _merged(earlier: str, later: str) -> str:
    """Return attributes (JSON) with what a later source says put over them; what it leaves empty it doesn't say."""
    if "{}" in (earlier, later):
        return later if earlier == "{}" else earlier
    known, said = msgspec.json.decode(earlier), msgspec.json.decode(later)
    return json_text(known | {key: value for key, value in said.items() if value not in ("", None) or key not in known})
