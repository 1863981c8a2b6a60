"""Selects the labels of the wanted categories from the tables of `raw_labels`, before their images are known."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.instances.reasons import BOX_LEFT_OUT, LabelError
from pipeline.instances.tables import (
    FLAGS,
    LABELS_FILE,
    RAW_LABELS,
    REJECTED,
    REJECTED_FILE,
    Rejected,
    bounding_boxes,
    boxes,
    json_text,
    read_table,
    rings_in,
    texts,
)
from pipeline.labels.class_numbers import REGION, Classes
from pipeline.labels.classes import ClassRule, Instance, find_rule, flags_and_attributes, join_parts
from pipeline.labels.clipping import Reasons, widened
from pipeline.recipe.categories import Meaning, Wanted
from pipeline.recipe.sections import Labels
from pipeline.running.threads import ordered_map
from pipeline.sources.label_files import LabelSource

READ = ("image", "label_id", "polygons", "box", "geometry", *FLAGS, "attributes", "mask_width", "mask_height")
"""Columns that are read of wanted labels."""


@dataclass
class Selection:
    """The wanted labels of the raw tables."""

    labels: pa.Table
    """Columns as in `tables.LABELS`, except for `split` and `source`, and `mask_width` and `mask_height`. `image` is a
    row of the raw images.parquet, by which they are sorted."""
    reasons: Reasons
    """Why a label can't be used, whatever its image is."""
    unread: dict[int, list[Rejected]]
    """By row of the raw images.parquet: labels that `raw_labels` couldn't read and that may be wanted."""
    unread_files: list[Rejected]
    unwanted: Counter[str]
    """Number of labels of other categories, by category."""
    spellings: dict[str, Counter[str]]
    """By category: other spellings that were read as it, counted."""
    alike: dict[str, str]
    """Categories that are not wanted, or that all are, and the more frequent one that each looks like a spelling of."""
    misspelt: NDArray[np.int64]
    """Rows of the raw images.parquet with labels of such categories."""


def select(raw_labels: Path, entries: pa.Table, sources: Sequence[LabelSource], recipe: Labels) -> Selection:
    """Return the wanted labels of a `raw_labels` folder, whose images.parquet is `entries`.

    Raises ArtifactError if its tables can't be read.
    """
    path = raw_labels / LABELS_FILE
    unread = read_table(raw_labels / REJECTED_FILE, "raw_labels").to_pylist()
    classes = Classes(Wanted(recipe.categories, recipe.rename))
    numbers = _class_numbers(path, classes)
    regions = _read_regions(path, np.flatnonzero(numbers == REGION))
    rules = _find_rules(regions, unread, entries, sources, recipe, classes.wanted)
    reasons = np.full(len(numbers), "", object)
    instances = _classify(regions, rules, classes, numbers, reasons)
    unread_labels, unread_files = _wanted_unread(unread, rules, classes)
    rows = np.flatnonzero(numbers >= 0)
    counts = np.bincount(numbers[rows], minlength=len(classes.numbers))
    classes.merge_spellings(classes.totals(counts))
    alike = classes.alike(classes.totals(counts))
    labels = _with_classes(_read_labels(path, numbers >= 0), numbers[rows], classes)
    labels, firsts = _join_regions(labels, instances, rows)
    reasons = reasons[rows[firsts]]
    if recipe.boxes == "leave_out":
        reasons[(reasons == "") & pc.equal(labels["geometry"], "box").to_numpy()] = BOX_LEFT_OUT
    return Selection(
        labels,
        reasons,
        unread_labels,
        unread_files,
        classes.unwanted,
        classes.spellings(counts),
        alike,
        _entries_of(path, classes.rows_of(alike, numbers)),
    )


def _entries_of(path: Path, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the raw images.parquet that labels in these rows are of, sorted."""
    if not len(rows):
        return rows
    return np.unique(read_table(path, "raw_labels", ["image"])["image"].to_numpy()[rows])


def _class_numbers(path: Path, classes: Classes) -> NDArray[np.int64]:
    """Return the number of each label's class ([N]), determined once for each pair of category and kind."""
    table = read_table(path, "raw_labels", ["category", "kind"], dictionaries=("category", "kind"))
    (words, word_of), (kinds, kind_of_label) = (_codes(table[name]) for name in ("category", "kind"))
    pairs = (word_of + 1) * (len(kinds) + 1) + kind_of_label + 1
    counts = np.bincount(pairs, minlength=1)
    numbers = np.full(len(counts), REGION)
    for pair in np.flatnonzero(counts).tolist():
        word, kind = divmod(pair, len(kinds) + 1)
        if word:
            numbers[pair] = classes.number(words[word - 1], kinds[kind - 1] if kind else None, int(counts[pair]))
    return numbers[pairs]


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the values of a dictionary column, and the index of each row's value ([N], -1 for null)."""
    array = column.combine_chunks()
    return array.dictionary.to_pylist(), array.indices.fill_null(-1).to_numpy().astype(np.int64)


def _read_regions(path: Path, rows: NDArray[np.int64]) -> list[tuple[Any, ...]]:
    """Return row, image, label_id, part_of, geometry and attributes (decoded) of VIA regions in these rows."""
    if not len(rows):
        return []
    names = ["image", "label_id", "part_of", "geometry", "attributes"]
    table = read_table(path, "raw_labels", names).take(pa.array(rows))
    *columns, attributes = (table[name].to_pylist() for name in names)
    return list(zip(rows.tolist(), *columns, map(msgspec.json.decode, attributes), strict=True))


def _find_rules(
    regions: Sequence[tuple[Any, ...]],
    unread: Sequence[dict[str, Any]],
    entries: pa.Table,
    sources: Sequence[LabelSource],
    recipe: Labels,
    wanted: Wanted,
) -> dict[int, ClassRule]:
    """Return the class rule of each row of the raw images.parquet that has VIA regions: one for each file."""
    file_of = list(zip(entries["source"].to_pylist(), entries["file_index"].to_pylist(), strict=True))
    by_file: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for _, image, *_, attributes in regions:
        by_file[file_of[image]].append(attributes)
    for row in unread:
        if row["attributes"] is not None and row["category"] is None:
            by_file[file_of[row["row"]]].append(msgspec.json.decode(row["attributes"]))
    rules = {}
    for (source, number), of_file in by_file.items():
        file = sources[source].files[number]
        chosen = (recipe.class_attribute, recipe.default_class)
        rules[source, number] = find_rule(of_file, wanted, file.options, file.name, *chosen)
    return {image: rules[file] for image, file in enumerate(file_of) if file in rules}


def _classify(
    regions: Sequence[tuple[Any, ...]],
    rules: Mapping[int, ClassRule],
    classes: Classes,
    numbers: NDArray[np.int64],
    reasons: Reasons,
) -> list[Instance[int]]:
    """Return the wanted instances that regions are; write into `numbers` and `reasons` ([N], all labels) of regions."""
    by_image: dict[int, list[Instance[int]]] = defaultdict(list)
    for row, image, label_id, part_of, geometry, attributes in regions:
        rule = rules[image]
        try:
            numbers[row] = classes.number(rule.class_of(attributes))
        except LabelError as error:
            numbers[row], reasons[row] = classes.add("", Meaning("")), error.reason
        if numbers[row] >= 0:
            part = None if reasons[row] else part_of
            described = flags_and_attributes(attributes, rule.attribute_of(attributes))
            by_image[image].append(Instance(label_id, part, str(numbers[row]), geometry, *described, [row]))
    return [instance for of_image in by_image.values() for instance in join_parts(of_image)]


def _wanted_unread(
    unread: Sequence[dict[str, Any]], rules: Mapping[int, ClassRule], classes: Classes
) -> tuple[dict[int, list[Rejected]], list[Rejected]]:
    """Return the labels that couldn't be read, by row of the raw images.parquet, and files; count unwanted labels."""
    labels: dict[int, list[Rejected]] = defaultdict(list)
    files = []
    for row in unread:
        rejected = Rejected(*(row[name] for name in REJECTED.names))
        if row["row"] is None:
            files.append(rejected)
        elif _may_be_wanted(row, rules, classes):
            labels[row["row"]].append(rejected)
    return labels, files


def _may_be_wanted(row: Mapping[str, Any], rules: Mapping[int, ClassRule], classes: Classes) -> bool:
    if row["category"] is not None:
        return classes.number(row["category"], row["kind"]) >= 0
    if row["attributes"] is None:
        return True
    try:
        return classes.number(rules[row["row"]].class_of(msgspec.json.decode(row["attributes"]))) >= 0
    except LabelError:
        return True


def _read_labels(path: Path, is_chosen: NDArray[np.bool_]) -> pa.Table:
    """Return the chosen rows ([N]), lines widened; row groups without any are not read."""
    metadata = pq.read_metadata(path)
    ends = np.cumsum([0, *(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))])
    rows_of_groups = enumerate(np.flatnonzero(is_chosen[start:end]) for start, end in pairwise(ends))
    groups = [(group, rows) for group, rows in rows_of_groups if len(rows)]
    parts = list(ordered_map(partial(_read_group, path), groups, batch_size=1))
    table = pa.Table.from_batches(parts) if parts else RAW_LABELS.empty_table().select(READ)
    return table.rename_columns(["instance_id" if name == "label_id" else name for name in READ])


def _read_group(path: Path, group_and_rows: tuple[int, NDArray[np.int64]]) -> pa.RecordBatch:
    group, rows = group_and_rows
    with pq.ParquetFile(path, read_dictionary=["attributes"]) as file:
        table = file.read_row_group(group, READ, use_threads=False)
    return widened(table.take(pa.array(rows)).to_batches()[0])


def _with_classes(labels: pa.Table, numbers: NDArray[np.int64], classes: Classes) -> pa.Table:
    """Return labels with the columns category and source_category, and ignored if the category says so."""
    words, meanings = zip(*(classes.numbers or [("", Meaning(""))]), strict=True)
    rows = pa.array(numbers)
    ignored = pa.array([meaning.ignored for meaning in meanings]).take(rows)
    labels = _replaced(labels, {"ignored": pc.or_(labels["ignored"], ignored)})
    for name, values in (("category", [meaning.category for meaning in meanings]), ("source_category", list(words))):
        labels = labels.append_column(name, texts(values).dictionary_encode().take(rows))
    return labels


def _replaced(labels: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    for name, column in columns.items():
        labels = labels.set_column(labels.schema.get_field_index(name), name, column)
    return labels


def _join_regions(
    labels: pa.Table, instances: Sequence[Instance[int]], rows: NDArray[np.int64]
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the labels, the regions of an instance joined in the place of the first, and the indices that are left.

    `rows` ([N]) are the rows of the labels in the raw labels.parquet.
    """
    first_of = np.arange(len(labels))
    if not instances:
        return labels, first_of
    places = [np.searchsorted(rows, instance.rings) for instance in instances]
    for place in places:
        first_of[place] = place[0]
    firsts = np.array([place[0] for place in places])
    order = np.argsort(firsts)
    labels = _with_descriptions(labels, firsts[order], [instances[at] for at in order.tolist()])
    return _with_joined_polygons(labels, first_of), np.unique(first_of)


def _with_descriptions(labels: pa.Table, rows: NDArray[np.int64], instances: Sequence[Instance[int]]) -> pa.Table:
    """Return the labels with ids, geometries, flags and attributes of instances in ascending `rows`."""
    mask = np.zeros(len(labels), bool)
    mask[rows] = True
    flags = {flag: pa.array([instance.flags.get(flag) for instance in instances], pa.bool_()) for flag in FLAGS}
    ignored = labels["ignored"].combine_chunks().take(pa.array(rows))
    columns = {
        "instance_id": texts([instance.id for instance in instances]),
        "geometry": pa.array([instance.geometry for instance in instances], pa.string()),
        "attributes": texts([json_text(instance.attributes) for instance in instances]),
        **flags,
        "crowd": flags["crowd"].fill_null(False),
        "ignored": pc.or_(ignored, flags["ignored"].fill_null(False)),
    }
    labels = _replaced(labels, {"attributes": labels["attributes"].cast(pa.string())})
    new = {name: pc.replace_with_mask(labels[name].combine_chunks(), mask, column) for name, column in columns.items()}
    return _replaced(labels, new)


def _with_joined_polygons(labels: pa.Table, first_of: NDArray[np.int64]) -> pa.Table:
    """Return the labels that are first of an instance, with the polygons of all of which `first_of` ([N]) they are."""
    kept = np.unique(first_of)
    if len(kept) == len(labels):
        return labels
    order = np.argsort(first_of, kind="stable")
    parts = labels["polygons"].combine_chunks().take(pa.array(order))
    ends = np.cumsum(np.bincount(first_of)[kept])
    offsets = parts.offsets.take(pa.array(np.concatenate([[0], ends])))
    polygons = pa.ListArray.from_arrays(offsets, parts.values)
    labels = _replaced(labels.take(pa.array(kept)), {"polygons": polygons})
    return _replaced(labels, {"box": boxes(bounding_boxes(*rings_in(polygons)))})
