"""The Parquet tables of images and labels: schemas, and functions that write, read and convert their columns."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

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
SPLITS: tuple[str, ...] = get_args(Split)
"""All splits, in the order in which tables are sorted by them."""

Geometry = Literal["polygon", "box", "rle", "bitmask"]
"""What the source gave of an instance; for `box` its polygon is the rectangle."""
GEOMETRIES: tuple[Geometry, ...] = get_args(Geometry)

LABELS_FILE = "labels.parquet"
IMAGES_FILE = "images.parquet"
REJECTED_FILE = "rejected.parquet"

BYTES_A_GROUP = 64 << 20
ROWS_A_GROUP = 32_768
"""Rows of a row group: what is held in memory while writing, and read at once afterwards."""

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
"""images.parquet of `raw_images`: a row an image, sorted by name."""

POINT = pa.struct([("x", pa.float64()), ("y", pa.float64())])
BOX = pa.struct([("x", pa.float64()), ("y", pa.float64()), ("width", pa.float64()), ("height", pa.float64())])

FLAGS = ("crowd", "ignored", "occluded", "truncated")

LABELS = pa.schema(
    [
        ("image", pa.string()),
        ("split", pa.string()),
        ("instance_id", pa.string()),
        ("category", pa.string()),
        ("source_category", pa.string()),
        ("polygons", pa.list_(pa.list_(POINT))),
        ("box", BOX),
        ("geometry", pa.string()),
        *((flag, pa.bool_()) for flag in FLAGS),
        ("attributes", pa.string()),
        ("source", pa.string()),
    ]
)
"""labels.parquet of `filtered_labels`: a row an instance (with `all_in_both` one for each split), sorted by split and
image, then as in the source. `attributes` is JSON."""

REPETITIVE = ("image", "split", "category", "source_category", "geometry", "attributes")
"""Columns of `LABELS` whose values occur many times, unlike coordinates and ids, most of the table."""

IMAGES = pa.schema([*SCHEMA, ("video", pa.string()), ("attributes", pa.string())])
"""images.parquet of `filtered_labels`: a row an image kept (with `all_in_both` one for each split), sorted by split
and image. `split` is the final split, `video` the video that a frame belongs to, `attributes` JSON."""

REJECTED = pa.schema([(name, pa.string()) for name in ("source", "image", "label_id", "reason", "label")])
"""rejected.parquet of `raw_images` and `filtered_labels`: a row for each label or image left out."""

RAW_IMAGES = pa.schema(
    [
        ("source", pa.int32()),
        ("file_index", pa.int32()),
        ("file", pa.string()),
        ("name", pa.string()),
        ("video", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("size", pa.int64()),
        ("attributes", pa.string()),
    ]
)
"""images.parquet of `raw_labels`: a row for each entry of a label file that describes an image, in the order read.

`source` and `file_index` are positions in sources.json, `file` is the display name of that file, `name` the image as
the file names it. Width and height (pixels) are the size that the labels were made for, `size` the bytes of the image
file that a VIA file states; null where the file gives none. `attributes` is JSON.
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
        *((flag, pa.bool_()) for flag in FLAGS),
        ("attributes", pa.string()),
        ("part_of", pa.string()),
        ("mask_width", pa.int32()),
        ("mask_height", pa.int32()),
    ]
)
"""labels.parquet of `raw_labels`: a row a label of any category, sorted by `image`, a row of its images.parquet.

`category` is the category as the file names it (null: a VIA region), `kind` an areaType or laneType. The polygons of a
`line` are open paths. VIA regions with the same `part_of` are parts of one instance; `mask_width` and `mask_height`
(pixels) are the size of a run-length mask.
"""

RAW_REJECTED = pa.schema(
    [
        *REJECTED,
        ("row", pa.int64()),
        ("category", pa.string()),
        ("kind", pa.string()),
        ("attributes", pa.string()),
    ]
)
"""rejected.parquet of `raw_labels`: what could not be read. `row` is a row of its images.parquet."""

RAW_REPETITIVE = ("category", "kind", "geometry", "attributes", "part_of")
"""Columns of `RAW_LABELS` whose values occur many times."""

_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class Rejected:
    """A row of rejected.parquet: a label, image or file that was left out; `label` is the JSON text of what it was."""

    source: str
    image: str
    label_id: str
    reason: str
    label: str


def distinct_ids(ids: Sequence[str], own: Sequence[bool] | None = None) -> list[str]:
    """Return the ids, a repeated one with a suffix: `id~2`, `id~3`, …; in linear time.

    Ids that are `own` ([N], default: all) stay as they are where they occur first, wherever that is.
    """
    own = [True] * len(ids) if own is None else own
    reserved = {each for each, is_own in zip(ids, own, strict=True) if is_own}
    given: set[str] = set()
    repeats: Counter[str] = Counter()
    distinct: list[str] = []
    for each, is_own in zip(ids, own, strict=True):
        free = each
        while free in given or (free in reserved and not (is_own and free == each)):
            repeats[each] += 1
            free = f"{each}~{repeats[each] + 1}"
        given.add(free)
        distinct.append(free)
    return distinct


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, whole or not at all, with settings under which equal tables give equal bytes."""
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=65_536, version="2.6")


def read_table(
    path: Path, made_by: str, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()
) -> pa.Table:
    """Return a table, or some of its columns; raises ArtifactError, naming the stage, when it can't be read."""
    with _opened(path, made_by, dictionaries) as file:
        if not file.num_row_groups:  # what PyArrow 18 can't read
            empty = file.schema_arrow.empty_table()
            return empty.select(columns) if columns else empty
        return file.read(columns)


@contextmanager
def _opened(path: Path, made_by: str, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    try:
        # pq.read_table would import pandas, which takes a third of a second.
        with pq.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} can't be read ({error}); materialise {made_by} again") from None


class RowGroupWriter:
    """Writes a Parquet file in row groups of `ROWS_A_GROUP`, whole or not at all; equal rows give equal bytes.

    A row group ends earlier where its rows take `BYTES_A_GROUP`.
    """

    def __init__(self, path: Path, schema: pa.Schema, repetitive: Sequence[str] | None = None) -> None:
        """Columns that are `repetitive` (default: all) are dictionary-encoded, with statistics."""
        self.schema = schema
        self._repetitive: Sequence[str] | bool = True if repetitive is None else list(repetitive)
        self.rows = 0
        self._path = path
        self._waiting: list[pa.Table] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        file = self._stack.enter_context(whole_file(self._path))
        writer = pq.ParquetWriter(
            file,
            self.schema,
            version="2.6",
            compression="snappy",  # zstd is a fifth smaller, but doubles the time of writing
            use_dictionary=self._repetitive,
            write_statistics=self._repetitive,  # of coordinates nobody needs them, and they take time
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
        self._waiting.append(table.select(self.schema.names).cast(self.schema))
        if sum(each.num_rows for each in self._waiting) >= ROWS_A_GROUP:
            self._write(everything=False)
        if sum(each.nbytes for each in self._waiting) >= BYTES_A_GROUP:
            self._write(everything=True)

    def _write(self, everything: bool) -> None:
        rows = pa.concat_tables(self._waiting) if self._waiting else self.schema.empty_table()
        full = rows.num_rows if everything else rows.num_rows // ROWS_A_GROUP * ROWS_A_GROUP
        if full:
            self._writer.write_table(rows.slice(0, full).combine_chunks(), row_group_size=ROWS_A_GROUP)
        self._waiting = [rows.slice(full)] if full < rows.num_rows else []


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys and no spaces; equal values give equal text."""
    return _encode(value).decode() if value else "{}"


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
    """Return [N, 4] (left, top, width, height): the box around the rings of each label."""
    points_each = np.add.reduceat(rings.lengths, np.cumsum(rings_each) - rings_each) if len(rings_each) else rings_each
    least, most = extents(rings.points, np.cumsum(points_each) - points_each)
    return np.concatenate([least, most - least], axis=1)


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    ends: NDArray[np.int32] = np.cumsum(np.concatenate([[0], counts]), dtype=np.int32)
    return ends


def read_images(filtered_labels: Path, split: str) -> pa.Table:
    """Return the rows of images.parquet (schema `IMAGES`) that belong to `split`, sorted by image."""
    images = read_table(filtered_labels / IMAGES_FILE, "filtered_labels")
    return images.filter(pc.equal(images["split"], split))


def label_batches(filtered_labels: Path, split: str) -> Iterator[pa.Table]:
    """Yield the rows of labels.parquet (schema `LABELS`) of `split`, a row group at a time, sorted by image."""
    with _opened(filtered_labels / LABELS_FILE, "filtered_labels") as file:
        # No nested column precedes `split`, so that its index is the same among the columns of the file.
        column = file.schema_arrow.get_field_index("split")
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(column).statistics
            if statistics.min <= split <= statistics.max:
                rows = file.read_row_group(group, use_threads=False)
                yield rows.filter(pc.equal(rows["split"], split))
