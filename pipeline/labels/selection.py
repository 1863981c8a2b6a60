"""The labels that a recipe wants, of all that `raw_labels` has read: chosen by category before more is read of them.

What their categories mean is in `vocabulary`, how VIA files give them in `label_classes`; nothing is matched here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.instances.reasons import BOX_LEFT_OUT, LabelError
from pipeline.instances.records import Rejected
from pipeline.instances.tables import (
    FLAGS,
    LABELS_FILE,
    RAW_LABELS,
    REJECTED_FILE,
    bounding_boxes,
    boxes,
    json_text,
    rings_in,
    texts,
)
from pipeline.labels.classes import ClassRule, Region, find_rule, joined, parted
from pipeline.labels.clipping import widened
from pipeline.labels.files import LabelSource, read_table
from pipeline.recipe.categories import Meaning, Wanted, canonical, kind_of
from pipeline.recipe.sections import Labels
from pipeline.running.threads import ordered_map

READ = ("image", "label_id", "polygons", "box", "geometry", *FLAGS, "attributes", "mask_width", "mask_height")
"""Columns that are read of labels that are wanted."""


@dataclass
class Selection:
    """What a recipe wants of the labels in the raw tables."""

    labels: pa.Table
    """Sorted by `image`, a row of the raw images.parquet; further columns as in `tables.INSTANCE_FIELDS`, without
    `source`, and `mask_width` and `mask_height`."""
    reasons: NDArray[np.object_]
    """[N] str: why a label can't be used by itself; empty where it can."""
    rejected: dict[int, list[Rejected]]
    """By row of the raw images.parquet: labels that couldn't be read."""
    files: list[Rejected]
    """Files that couldn't be read."""
    unwanted: Counter[str]
    """How many labels of other categories there are."""


class _Class(NamedTuple):
    """What a label's word amounts to."""

    word: str
    category: str
    ignored: bool


@dataclass
class _Classes:
    """The classes that labels have, by number, and the labels that are not wanted, counted."""

    wanted: Wanted
    numbers: dict[_Class, int] = field(default_factory=dict)
    unwanted: Counter[str] = field(default_factory=Counter)

    def number(self, word: str, kind: str | None = None, count: int = 1) -> int:
        """Return the number of a class that is wanted, else -1, and count its labels."""
        meaning = self.wanted.meaning(word, kind)
        if meaning is None:
            self.unwanted[kind_of(canonical(word), kind)] += count
            return -1
        return self.of(word, meaning)

    def of(self, word: str, meaning: Meaning) -> int:
        """Return the number of a class."""
        return self.numbers.setdefault(_Class(word, meaning.category, meaning.ignored), len(self.numbers))


def select(raw_labels: Path, images: pa.Table, sources: Sequence[LabelSource], recipe: Labels) -> Selection:
    """Return the wanted labels of a `raw_labels` folder; `images` is its images.parquet.

    Raises ArtifactError where its tables can't be read.
    """
    classes = _Classes(Wanted(recipe.categories))
    regions = _Regions(raw_labels, images, sources, recipe, classes)
    numbers = _class_numbers(raw_labels / LABELS_FILE, classes)
    found, reasons = regions.classify(np.flatnonzero(numbers == IS_REGION), numbers)
    chosen = np.flatnonzero(numbers >= 0)
    labels = _with_classes(_read(raw_labels / LABELS_FILE, numbers >= 0), numbers[chosen], classes)
    labels, first_of = _joined(labels, found, chosen)
    reasons = reasons[chosen[first_of]]
    if recipe.boxes == "leave_out":
        reasons[(reasons == "") & pc.equal(labels["geometry"], "box").to_numpy()] = BOX_LEFT_OUT
    return Selection(labels, reasons, *regions.rejected(), classes.unwanted)


IS_REGION = -2
"""Number of a class that is not yet known: the label is a VIA region."""


def _class_numbers(path: Path, classes: _Classes) -> NDArray[np.int64]:
    """Return the number of each label's class ([N]), found once for all labels of one category and kind."""
    table = read_table(path, ["category", "kind"], dictionaries=("category", "kind"))
    (words, word_of), (kinds, kind_of_label) = (_codes(table[name]) for name in ("category", "kind"))
    pairs = (word_of + 1) * (len(kinds) + 1) + kind_of_label + 1
    counts = np.bincount(pairs, minlength=1)
    numbers = np.full(len(counts), IS_REGION)
    for pair in np.flatnonzero(counts).tolist():
        word, kind = divmod(pair, len(kinds) + 1)
        if word:
            numbers[pair] = classes.number(words[word - 1], kinds[kind - 1] if kind else None, int(counts[pair]))
    return numbers[pairs]


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the values of a dictionary column, and the place of each row's among them ([N], -1 for null)."""
    array = column.combine_chunks()
    return array.dictionary.to_pylist(), array.indices.fill_null(-1).to_numpy().astype(np.int64)


def _read(path: Path, chosen: NDArray[np.bool_]) -> pa.Table:
    """Return the rows that are `chosen` ([N]), lines as areas; row groups without any are not read."""
    metadata = pq.read_metadata(path)
    ends = np.cumsum([0, *(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))])
    rows = [np.flatnonzero(chosen[start:end]) for start, end in pairwise(ends)]
    groups = [(group, its) for group, its in enumerate(rows) if len(its)]
    parts = list(ordered_map(partial(_read_group, path), groups, batch_size=1))
    table = pa.Table.from_batches(parts) if parts else RAW_LABELS.empty_table().select(READ)
    return table.rename_columns(["instance_id" if name == "label_id" else name for name in READ])


def _read_group(path: Path, group_and_rows: tuple[int, NDArray[np.int64]]) -> pa.RecordBatch:
    group, rows = group_and_rows
    with pq.ParquetFile(path, read_dictionary=["attributes"]) as file:
        table = file.read_row_group(group, READ, use_threads=False)
    return widened(table.take(pa.array(rows)).to_batches()[0])


def _with_classes(labels: pa.Table, numbers: NDArray[np.int64], classes: _Classes) -> pa.Table:
    """Return labels with their categories, and ignored where the vocabulary says so."""
    found = list(classes.numbers) or [_Class("", "", False)]
    columns = {}
    for name, words in (
        ("category", [each.category for each in found]),
        ("source_category", [each.word for each in found]),
    ):
        distinct = list(dict.fromkeys(words))
        place = np.array([distinct.index(word) for word in words], np.int32)
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(place[numbers]), texts(distinct))
    ignored = pa.array(np.array([each.ignored for each in found])[numbers])
    labels = _replaced(labels, {"ignored": pc.or_(labels["ignored"], ignored)})
    return labels.append_column("category", columns["category"]).append_column(
        "source_category", columns["source_category"]
    )


def _replaced(labels: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    for name, column in columns.items():
        labels = labels.set_column(labels.schema.get_field_index(name), name, column)
    return labels


class _Regions:
    """VIA regions, whose class is decided by the recipe and all regions of their file."""

    def __init__(
        self, raw_labels: Path, images: pa.Table, sources: Sequence[LabelSource], recipe: Labels, classes: _Classes
    ) -> None:
        self._path, self._sources, self._recipe, self._classes = raw_labels, sources, recipe, classes
        self._file_of = list(zip(images["source"].to_pylist(), images["file_index"].to_pylist(), strict=True))
        self._rules: dict[tuple[int, int], ClassRule] = {}
        self._rejected = read_table(raw_labels / REJECTED_FILE).to_pylist()

    def classify(self, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[list[Region], NDArray[np.object_]]:
        """Return the instances that regions are, `rows` of the raw labels, and why those of no class are left out.

        Writes the `numbers` ([N]) of their classes; the reasons are of all labels ([N]).
        """
        reasons = np.full(len(numbers), "", object)
        names = ["image", "label_id", "part_of", "geometry", "attributes"]
        columns = read_table(self._path / LABELS_FILE, names).take(pa.array(rows)) if len(rows) else None
        images, *others, given = (columns[name].to_pylist() for name in names) if columns else ([] for _ in names)
        attributes = list(map(msgspec.json.decode, given))
        self._find_rules(images, attributes)
        by_image: dict[int, list[Region]] = {}
        for row, image, label_id, part_of, geometry, its in zip(
            rows.tolist(), images, *others, attributes, strict=True
        ):
            rule = self._rules[self._file_of[image]]
            try:
                numbers[row] = number = self._classes.number(rule.name_of(its))
            except LabelError as fault:
                numbers[row] = number = self._classes.of("", Meaning(""))
                reasons[row] = fault.reason
            if number >= 0:
                whole = None if reasons[row] else part_of
                region = Region(label_id, whole, str(number), geometry, *parted(its, rule.key_of(its)), [row])
                by_image.setdefault(image, []).append(region)
        return [region for regions in by_image.values() for region in joined(regions)], reasons

    def _find_rules(self, images: Sequence[int], attributes: Sequence[dict[str, Any]]) -> None:
        by_file: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for image, its in zip(images, attributes, strict=True):
            by_file.setdefault(self._file_of[image], []).append(its)
        for row in self._rejected:
            if row["attributes"] is not None and row["category"] is None:
                by_file.setdefault(self._file_of[row["row"]], []).append(msgspec.json.decode(row["attributes"]))
        for (source, file), regions in by_file.items():
            options, name = self._sources[source].options[file], self._sources[source].files[file].name
            wishes = (self._recipe.class_attribute, self._recipe.default_class)
            self._rules[source, file] = find_rule(regions, self._classes.wanted, options, name, *wishes)

    def rejected(self) -> tuple[dict[int, list[Rejected]], list[Rejected]]:
        """Return the labels that couldn't be read by image, but those that aren't wanted; and files."""
        found: dict[int, list[Rejected]] = {}
        files = []
        for row in self._rejected:
            rejected = Rejected(*(row[name] for name in ("source", "image", "label_id", "reason", "label")))
            if row["row"] is None:
                files.append(rejected)
            elif self._may_be_wanted(row):
                found.setdefault(row["row"], []).append(rejected)
        return found, files

    def _may_be_wanted(self, row: Mapping[str, Any]) -> bool:
        if row["category"] is not None:
            return self._classes.number(row["category"], row["kind"]) >= 0
        if row["attributes"] is None:
            return True
        try:
            word = self._rules[self._file_of[row["row"]]].name_of(msgspec.json.decode(row["attributes"]))
        except LabelError:
            return True
        return self._classes.number(word) >= 0


def _joined(
    labels: pa.Table, regions: Sequence[Region], chosen: NDArray[np.int64]
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the labels, parts of one instance joined in the row of the first one, and these rows.

    `chosen` ([N]) are the rows of the raw tables that the labels are.
    """
    first_of = np.arange(len(labels))
    if not regions:
        return labels, first_of
    places = [np.searchsorted(chosen, region.rows) for region in regions]
    for place in places:
        first_of[place] = place[0]
    firsts = [int(place[0]) for place in places]
    order = np.argsort(firsts)
    labels = _described(labels, np.array(firsts)[order], [regions[at] for at in order.tolist()])
    return _merged(labels, first_of), np.unique(first_of)


def _described(labels: pa.Table, rows: NDArray[np.int64], regions: Sequence[Region]) -> pa.Table:
    """Return the labels with what regions say of instances in some of the rows, which rise."""
    mask = np.zeros(len(labels), bool)
    mask[rows] = True
    flags = {flag: pa.array([region.flags.get(flag) for region in regions], pa.bool_()) for flag in FLAGS}
    ignored = labels["ignored"].combine_chunks().take(pa.array(rows))
    columns = {
        "instance_id": texts([region.id for region in regions]),
        "geometry": pa.array([region.geometry for region in regions], pa.string()),
        "attributes": texts([json_text(region.attributes) for region in regions]),
        **flags,
        "crowd": flags["crowd"].fill_null(False),
        "ignored": pc.or_(ignored, flags["ignored"].fill_null(False)),
    }
    labels = _replaced(labels, {"attributes": labels["attributes"].cast(pa.string())})
    new = {name: pc.replace_with_mask(labels[name].combine_chunks(), mask, column) for name, column in columns.items()}
    return _replaced(labels, new)


def _merged(labels: pa.Table, first_of: NDArray[np.int64]) -> pa.Table:
    """Return the labels with the rings of each in the row that is `first_of` ([N]) them; other rows go."""
    kept = np.unique(first_of)
    if len(kept) == len(labels):
        return labels
    order = np.argsort(first_of, kind="stable")
    parts = labels["polygons"].combine_chunks().take(pa.array(order))
    ends = np.cumsum(np.bincount(first_of)[kept])
    offsets = parts.offsets.take(pa.array(np.concatenate([[0], ends])))
    rings = pa.ListArray.from_arrays(offsets, parts.values)
    labels = _replaced(labels.take(pa.array(kept)), {"polygons": rings})
    return _replaced(labels, {"box": boxes(bounding_boxes(*rings_in(rings)))})
