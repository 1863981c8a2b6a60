"""Instances as Arrow columns (`tables.INSTANCE_FIELDS`), and rows of such columns as instances again.

Which instances there are is decided by those who fill the columns; where they are kept is in `instance_store`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.geometry.polygon import Box, Ring
from pipeline.geometry.ring_table import RingTable, extents
from pipeline.instances.records import Instance
from pipeline.instances.tables import BOX, INSTANCE_FIELDS, POINT, json_text, texts

INSTANCES = pa.schema(INSTANCE_FIELDS)
FLAGS = ("crowd", "ignored", "occluded", "truncated")
PLAIN = ("instance_id", "attributes", "category", "source_category", "geometry", *FLAGS)
"""Columns of a value each; from the third on, those named as the fields of `Instance`."""
ROWS_AT_ONCE = 1_024


@dataclass
class InstanceColumns:
    """Instances, one after the other, on their way to a record batch."""

    ids: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    source_categories: list[str] = field(default_factory=list)
    rings: list[Ring] = field(default_factory=list)
    rings_each: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    geometries: list[str] = field(default_factory=list)
    flags: list[tuple[bool, bool, bool | None, bool | None]] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    vertices: int = 0

    def add(self, instance: Instance, instance_id: str, source: str) -> None:
        """Append one row; `source` is the label file and the id that the label has there."""
        self.ids.append(instance_id)
        self.categories.append(instance.category)
        self.source_categories.append(instance.source_category)
        self.rings.extend(instance.rings)
        self.rings_each.append(len(instance.rings))
        self.vertices += sum(map(len, instance.rings))
        self.boxes.append(instance.box)
        self.geometries.append(instance.geometry)
        self.flags.append((instance.crowd, instance.ignored, instance.occluded, instance.truncated))
        self.attributes.append(json_text(instance.attributes))
        self.sources.append(source)

    def batch(self) -> pa.RecordBatch:
        """Return the rows."""
        if not self.ids:
            return one_batch(INSTANCES.empty_table())
        flags: list[Sequence[bool | None]] = list(zip(*self.flags, strict=True))
        lengths = np.array([len(ring) for ring in self.rings], np.int64)
        columns = [
            texts(self.ids),
            texts(self.categories),
            texts(self.source_categories),
            polygons(RingTable(np.concatenate(self.rings), lengths), np.array(self.rings_each, np.int64)),
            boxes(np.array([(box.x, box.y, box.width, box.height) for box in self.boxes], np.float64)),
            texts(self.geometries),
            *(pa.array(flag, pa.bool_()) for flag in flags),
            texts(self.attributes),
            texts(self.sources),
        ]
        return pa.record_batch(columns, schema=INSTANCES)


def polygons(rings: RingTable, rings_each: NDArray[np.int64]) -> pa.Array:
    """Return the column `polygons` of instances that have `rings_each` ([N]) of the rings."""
    corners = pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(rings.points[:, axis])) for axis in (0, 1)], fields=list(POINT)
    )
    return pa.ListArray.from_arrays(_ends(rings_each), pa.ListArray.from_arrays(_ends(rings.lengths), corners))


def boxes(sides: NDArray[np.float64]) -> pa.Array:
    """Return the column `box` of [N, 4] (left, top, width, height)."""
    return pa.StructArray.from_arrays([pa.array(np.ascontiguousarray(side)) for side in sides.T], fields=list(BOX))


def bounding_boxes(rings: RingTable, rings_each: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return [N, 4] (left, top, width, height): the box around the rings of each instance, as `polygon.bounds`."""
    points_each = np.add.reduceat(rings.lengths, np.cumsum(rings_each) - rings_each) if len(rings_each) else rings_each
    least, most = extents(rings.points, np.cumsum(points_each) - points_each)
    return np.concatenate([least, most - least], axis=1)


def boxes_in(column: pa.Array) -> NDArray[np.float64]:
    """Return the column `box` as [N, 4] (left, top, width, height)."""
    return np.stack([column.field(side).to_numpy() for side in range(len(BOX))], axis=1)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """Return the rows of a table of instances as one batch, also where there are none."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=INSTANCES)


def rings_in(column: pa.Array) -> tuple[RingTable, NDArray[np.int64]]:
    """Return the rings in a column `polygons`, and how many each instance has ([N] int64)."""
    rings = column.flatten()
    corners = rings.flatten()
    points = np.stack([corners.field(axis).to_numpy(zero_copy_only=False) for axis in (0, 1)], axis=1)
    lengths, each = (np.diff(lists.offsets.to_numpy()).astype(np.int64) for lists in (rings, column))
    return RingTable(points, lengths), each


def vertices_before(column: pa.Array) -> NDArray[np.int64]:
    """Return how many vertices stand before each row of a column `polygons`, and before its end ([N + 1])."""
    before = column.values.offsets.to_numpy()[column.offsets.to_numpy()].astype(np.int64)
    return np.asarray(before - before[0])


def instances_at(batch: pa.RecordBatch, rows: NDArray[np.int64]) -> Iterator[Instance]:
    """Yield some of the rows, given by their places ([N]), as instances."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield from _instances(batch.take(pa.array(rows[start : start + ROWS_AT_ONCE])))


def _instances(batch: pa.RecordBatch) -> Iterator[Instance]:
    rings, each = rings_in(batch["polygons"])
    separate = iter(rings.separate())
    plain = zip(*(batch[name].to_pylist() for name in PLAIN), strict=True)
    for count, sides, values in zip(each.tolist(), boxes_in(batch["box"]).tolist(), plain, strict=True):
        instance_id, attributes, *rest = values
        yield Instance(
            instance_id,
            rings=tuple(islice(separate, count)),
            box=Box(*sides),
            attributes=msgspec.json.decode(attributes),
            **dict(zip(PLAIN[2:], rest, strict=True)),
        )


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    ends: NDArray[np.int32] = np.cumsum(np.concatenate([[0], counts]), dtype=np.int32)
    return ends
