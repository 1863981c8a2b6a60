"""Instances on disk between reading and sorting: label files give images in any order, tables need them sorted.

Which instances are kept, and where they end up, is decided in `pipeline.labels`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from pipeline.instances import Box, Instance, Ring
from pipeline.tables import BOX, INSTANCE_FIELDS, POINT, json_text, texts

ROWS_A_BATCH = 16_384
_SCHEMA = pa.schema(INSTANCE_FIELDS)


@dataclass(frozen=True)
class Stored:
    """Where the instances of one image lie: a batch, the first row in it, how many rows."""

    batch: int
    start: int
    count: int


@dataclass
class _Columns:
    """Columns of instances that wait to become an Arrow batch."""

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

    def add(self, instance: Instance, instance_id: str, source: str) -> None:
        """Append one row."""
        self.ids.append(instance_id)
        self.categories.append(instance.category)
        self.source_categories.append(instance.source_category)
        self.rings.extend(instance.rings)
        self.rings_each.append(len(instance.rings))
        self.boxes.append(instance.box)
        self.geometries.append(instance.geometry)
        self.flags.append((instance.crowd, instance.ignored, instance.occluded, instance.truncated))
        self.attributes.append(json_text(instance.attributes))
        self.sources.append(source)

    def batch(self) -> pa.RecordBatch:
        """Return the rows as Arrow columns."""
        flags: list[Sequence[bool | None]] = list(zip(*self.flags, strict=True))
        boxes = np.array([(box.x, box.y, box.width, box.height) for box in self.boxes], np.float64).T
        columns = [
            texts(self.ids),
            texts(self.categories),
            texts(self.source_categories),
            _polygons(self.rings, self.rings_each),
            pa.StructArray.from_arrays([pa.array(side) for side in boxes], fields=list(BOX)),
            texts(self.geometries),
            *(pa.array(flag, pa.bool_()) for flag in flags),
            texts(self.attributes),
            texts(self.sources),
        ]
        return pa.record_batch(columns, schema=_SCHEMA)


class InstanceStore:
    """A file of instances, an image's instances together; it is written first, then read by image, then gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns = _Columns()
        self._batches = 0

    def __enter__(self) -> Self:
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pa.ipc.new_file(self._sink, _SCHEMA)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sink.close()
        self._path.unlink(missing_ok=True)

    def add(self, instances: Sequence[Instance], source: str) -> Stored:
        """Store what `source` says of one image; ids that occur twice in it are told apart by a number behind them."""
        if len(self._columns.ids) >= ROWS_A_BATCH:
            self._write_batch()
        start = len(self._columns.ids)
        for instance, instance_id in zip(instances, _distinct([each.id for each in instances]), strict=True):
            self._columns.add(instance, instance_id, f"{source}#{instance.id}")
        return Stored(self._batches, start, len(instances))

    def finish(self) -> None:
        """Write what still waits; from here on instances can be taken."""
        if self._columns.ids:
            self._write_batch()
        self._writer.close()
        self._sink.close()
        self._reader = pa.ipc.open_file(pa.memory_map(str(self._path)))

    def take(self, images: Sequence[Stored]) -> pa.Table:
        """Return the instances of these images, image by image, in the columns of `tables.INSTANCE_FIELDS`."""
        batches = sorted({each.batch for each in images if each.count})
        pieces, places = [], []
        place = np.cumsum([0, *(each.count for each in images)])
        for batch in batches:
            chosen = [(each, place[i]) for i, each in enumerate(images) if each.batch == batch and each.count]
            rows = np.concatenate([np.arange(each.start, each.start + each.count) for each, _ in chosen])
            pieces.append(self._reader.get_batch(batch).take(pa.array(rows)))
            places.append(np.concatenate([np.arange(first, first + each.count) for each, first in chosen]))
        if not pieces:
            return _SCHEMA.empty_table()
        table = pa.Table.from_batches(pieces)
        if len(pieces) == 1:
            return table
        return table.combine_chunks().take(pa.array(np.argsort(np.concatenate(places))))

    def _write_batch(self) -> None:
        self._writer.write_batch(self._columns.batch())
        self._columns = _Columns()
        self._batches += 1


def _distinct(ids: list[str]) -> list[str]:
    if len(set(ids)) == len(ids) and all(ids):
        return ids
    taken, distinct = set(ids), []
    seen: set[str] = set()
    for position, each in enumerate(ids):
        name, number = each or str(position), 2
        while name in seen or (name != each and name in taken):
            name, number = f"{each}~{number}", number + 1
        seen.add(name)
        distinct.append(name)
    return distinct


def _polygons(rings: list[Ring], rings_each: list[int]) -> pa.Array:
    points = np.concatenate(rings) if rings else np.empty((0, 2))
    corners = pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(points[:, axis])) for axis in (0, 1)], fields=list(POINT)
    )
    ring_ends = np.cumsum([0, *map(len, rings)], dtype=np.int32)
    instance_ends = np.cumsum([0, *rings_each], dtype=np.int32)
    return pa.ListArray.from_arrays(instance_ends, pa.ListArray.from_arrays(ring_ends, corners))
