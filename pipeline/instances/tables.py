"""The public tables of `filtered_labels`: their schemas, how they are written in row groups, how they are read back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.files.atomic import whole_file

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

LABELS = pa.schema([("image", pa.string()), ("split", pa.string()), *INSTANCE_FIELDS])
"""A row an instance (with `all_in_both` a row for each split), sorted by split and image, then as in the source."""

REPETITIVE = ("image", "split", "category", "source_category", "geometry", "attributes")
"""Columns of `LABELS` in which values come again and again, as coordinates and ids, most of the table, do not."""

IMAGES = pa.schema([*SCHEMA, ("video", pa.string()), ("attributes", pa.string())])
"""A row an image kept (with `all_in_both` a row for each split), sorted by split and image.

The columns of the raw index, but that `split` is the final one; then the video that a frame belongs to, and JSON."""

REJECTED = REJECTED_SCHEMA
"""A row for each label or image left out, in the order in which they were met: of a block of a large file, labels of
other categories last."""

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
