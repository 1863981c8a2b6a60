"""The public tables of `filtered_labels`: their schemas, how they are written in row groups, how they are read back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import ArtifactError
from pipeline.files.atomic import whole_file
from pipeline.geometry.ring_table import RingTable, extents

Split = Literal["train", "val", "test"]

SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("path", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("compression", pa.string()),
        ("size", pa.int64()),
        ("crc32", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
    ]
)
REJECTED_SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "image", "label_id", "reason", "label")])


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, whole or not at all, with settings under which equal tables give equal bytes."""
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=65_536, version="2.6")


LABELS_FILE = "labels.parquet"
IMAGES_FILE = "images.parquet"
REJECTED_FILE = "rejected.parquet"

SPLITS = ("train", "val", "test")
"""All splits, in the order in which tables are sorted by them."""

BYTES_A_GROUP = 64 << 20
ROWS_A_GROUP = 32_768
"""Rows of a row group: what is held in memory while writing, and read at once afterwards."""

POINT = pa.struct([("x", pa.float64()), ("y", pa.float64())])
BOX = pa.struct([("x", pa.float64()), ("y", pa.float64()), ("width", pa.float64()), ("height", pa.float64())])

INSTANCE_FIELDS: list[tuple[str, pa.DataType]] = [
    ("instance_id", pa.string()),
    ("category", pa.string()),
    ("source_category", pa.string()),
    ("polygons", pa.list_(pa.list_(POINT))),
    ("box", BOX),
    ("geometry", pa.string()),
    ("crowd", pa.bool_()),
    ("ignored", pa.bool_()),
    ("occluded", pa.bool_()),
    ("truncated", pa.bool_()),
    ("attributes", pa.string()),
    ("source", pa.string()),
]

FLAGS = ("crowd", "ignored", "occluded", "truncated")

LABELS = pa.schema([("image", pa.string()), ("split", pa.string()), *INSTANCE_FIELDS])
"""A row an instance (with `all_in_both` a row for each split), sorted by split and image, then as in the source."""

REPETITIVE = ("image", "split", "category", "source_category", "geometry", "attributes")
"""Columns of `LABELS` in which values come again and again, as coordinates and ids, most of the table, do not."""

IMAGES = pa.schema([*SCHEMA, ("video", pa.string()), ("attributes", pa.string())])
"""A row an image kept (with `all_in_both` a row for each split), sorted by split and image.

The columns of the raw index, but that `split` is the final one; then the video that a frame belongs to, and JSON."""

REJECTED = REJECTED_SCHEMA
"""A row for each label or image left out, in the order in which they were met: the last source first."""

RAW_IMAGES = pa.schema(
    [
        ("source", pa.int32()),
        ("file_index", pa.int32()),
        ("file", pa.string()),
        ("name", pa.string()),
        ("video", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("attributes", pa.string()),
    ]
)
"""images.parquet of `raw_labels`: a row each time that a label file says something of an image, in the order read.

`source` and `file_index` are places in sources.json, `file` is what that file is called. Width and height (pixels) are
what the labels were made for, where the file says it. `attributes` is JSON.
"""

RAW_LABELS = pa.schema(
    [
        ("image", pa.int64()),
        ("label_id", pa.string()),
        ("category", pa.string()),
        ("kind", pa.string()),
        ("polygons", pa.list_(pa.list_(POINT))),
        ("box", BOX),
        ("geometry", pa.string()),
        ("crowd", pa.bool_()),
        ("ignored", pa.bool_()),
        ("occluded", pa.bool_()),
        ("truncated", pa.bool_()),
        ("attributes", pa.string()),
        ("part_of", pa.string()),
        ("mask_width", pa.int32()),
        ("mask_height", pa.int32()),
    ]
)
"""labels.parquet of `raw_labels`: a row a label of any category, sorted by `image`, a row of its images.parquet.

`category` is the file's own word (null: a VIA region), `kind` an areaType or laneType. Of a `line` the polygons are
open paths. `part_of` is what regions of VIA have in common that are one instance; `mask_width` and `mask_height`
(pixels) are the size of a run-length mask.
"""

RAW_REJECTED = pa.schema(
    [
        *REJECTED_SCHEMA,
        ("row", pa.int64()),
        ("category", pa.string()),
        ("kind", pa.string()),
        ("attributes", pa.string()),
    ]
)
"""rejected.parquet of `raw_labels`: what could not be read. `row` is one of images.parquet, the rest as in labels."""

RAW_REPETITIVE = ("category", "kind", "geometry", "attributes", "part_of")
"""Columns of `RAW_LABELS` in which values come again and again."""

_encode = msgspec.json.Encoder(order="sorted").encode


class RowGroupWriter:
    """Writes one Parquet file in row groups of `ROWS_A_GROUP`, whole or not at all; equal rows give equal bytes.

    Rows of very much text or very many vertices, `BYTES_A_GROUP` of them, are a group by themselves.
    """

    def __init__(self, path: Path, schema: pa.Schema, repetitive: Sequence[str] | None = None) -> None:
        """Columns that are `repetitive` (default: all) get a dictionary of values, and least and largest noted."""
        self.schema = schema
        self._repetitive: Sequence[str] | bool = True if repetitive is None else list(repetitive)
        self.rows = 0
        self._path = path
        self._waiting: list[pa.Table] = []
        self._waiting_rows, self._waiting_bytes = 0, 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        file = self._stack.enter_context(whole_file(self._path))
        writer = pq.ParquetWriter(
            file,
            self.schema,
            version="2.6",
            compression="snappy",  # zstd packs a fifth smaller, and takes as long as all else about writing
            use_dictionary=self._repetitive,
            write_statistics=self._repetitive,  # nobody looks for a coordinate, and finding the least takes time
        )
        self._writer = self._stack.enter_context(writer)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: Any) -> None:
        if kind is None:
            self._write(everything=True)
        self._stack.__exit__(kind, *exc)

    def write(self, table: pa.Table) -> None:
        """Append rows; their columns must be those of the schema, in any order."""
        self.rows += table.num_rows
        self._wait(table.select(self.schema.names).cast(self.schema))
        if self._waiting_rows >= ROWS_A_GROUP:
            self._write(everything=False)
        if self._waiting_bytes >= BYTES_A_GROUP:
            self._write(everything=True)

    def _wait(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self._waiting_bytes += table.nbytes

    def _write(self, everything: bool) -> None:
        rows = pa.concat_tables(self._waiting) if self._waiting else self.schema.empty_table()
        full = rows.num_rows if everything else rows.num_rows // ROWS_A_GROUP * ROWS_A_GROUP
        if full:
            self._writer.write_table(rows.slice(0, full).combine_chunks(), row_group_size=ROWS_A_GROUP)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if full < rows.num_rows:
            self._wait(rows.slice(full))


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys and no spaces; equal values give equal text."""
    try:
        return _encode(value).decode() if value else "{}"
    except UnicodeEncodeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))


def texts(values: list[str] | list[str | None]) -> pa.Array:
    """Return a string column; lone halves of surrogate pairs, which UTF-8 lacks, become question marks."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        clean = [value if value is None else value.encode("utf-8", "replace").decode() for value in values]
        return pa.array(clean, pa.string())


def polygons(rings: RingTable, rings_each: NDArray[np.int64]) -> pa.Array:
    """Return the column `polygons` of labels that have `rings_each` ([N]) of the rings."""
    corners = pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(rings.points[:, axis])) for axis in (0, 1)], fields=list(POINT)
    )
    return pa.ListArray.from_arrays(_ends(rings_each), pa.ListArray.from_arrays(_ends(rings.lengths), corners))


def rings_in(column: pa.Array) -> tuple[RingTable, NDArray[np.int64]]:
    """Return the rings in a column `polygons`, and how many each label has ([N] int64)."""
    rings = column.flatten()
    corners = rings.flatten()
    points = np.stack([corners.field(axis).to_numpy(zero_copy_only=False) for axis in (0, 1)], axis=1)
    lengths, each = (np.diff(lists.offsets.to_numpy()).astype(np.int64) for lists in (rings, column))
    return RingTable(points, lengths), each


def boxes(sides: NDArray[np.float64]) -> pa.Array:
    """Return the column `box` of [N, 4] (left, top, width, height)."""
    return pa.StructArray.from_arrays([pa.array(np.ascontiguousarray(side)) for side in sides.T], fields=list(BOX))


def boxes_in(column: pa.Array) -> NDArray[np.float64]:
    """Return the column `box` as [N, 4] (left, top, width, height)."""
    return np.stack([column.field(side).to_numpy() for side in range(len(BOX))], axis=1)


def bounding_boxes(rings: RingTable, rings_each: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return [N, 4] (left, top, width, height): the box around the rings of each label, as `polygon.bounds`."""
    points_each = np.add.reduceat(rings.lengths, np.cumsum(rings_each) - rings_each) if len(rings_each) else rings_each
    least, most = extents(rings.points, np.cumsum(points_each) - points_each)
    return np.concatenate([least, most - least], axis=1)


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    ends: NDArray[np.int32] = np.cumsum(np.concatenate([[0], counts]), dtype=np.int32)
    return ends


def read_images(filtered_labels: Path, split: str) -> pa.Table:
    """Return the rows of images.parquet (schema `IMAGES`) that belong to `split`, sorted by image."""
    with _opened(filtered_labels / IMAGES_FILE) as file:
        return pa.concat_tables([IMAGES.empty_table(), *_row_groups(file, split)])


def label_batches(filtered_labels: Path, split: str) -> Iterator[pa.Table]:
    """Yield the rows of labels.parquet (schema `LABELS`) of `split`, a row group at a time, sorted by image."""
    with _opened(filtered_labels / LABELS_FILE) as file:
        yield from _row_groups(file, split)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path}: can't be read as a table: {error}") from None


def _row_groups(file: pq.ParquetFile, split: str) -> Iterator[pa.Table]:
    """Yield the rows of `split`; row groups that hold only other splits are not read."""
    column = file.schema_arrow.get_field_index("split")
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(_leaf(file, column)).statistics
        if statistics is not None and statistics.has_min_max and not statistics.min <= split <= statistics.max:
            continue
        rows = file.read_row_group(group, use_threads=False)
        yield rows.filter(pc.equal(rows["split"], split))


def _leaf(file: pq.ParquetFile, column: int) -> int:
    """Return the index of a flat column among the file's leaves, which nested columns before it would shift."""
    name = file.schema_arrow.names[column]
    return next(leaf for leaf in range(file.metadata.num_columns) if file.schema.column(leaf).path == name)
