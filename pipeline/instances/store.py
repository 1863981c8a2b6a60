"""Instances on disk between reading and sorting: label files give images in any order, tables need them sorted.

Which instances are kept, and where they end up, is decided in `pipeline.labels`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.geometry.ring_table import ranges
from pipeline.instances.columns import INSTANCES, InstanceColumns, instances_at, one_batch
from pipeline.instances.distinct_ids import DistinctIds
from pipeline.instances.records import Instance

ROWS_AT_ONCE, VERTICES_AT_ONCE = 16_384, 1_000_000
"""Of instances that are held in memory: those that were traced have thousands of vertices."""

Item = TypeVar("Item")


class Stored(msgspec.Struct, frozen=True, gc=False):
    """Where the instances of one image lie: a batch, the first row in it, how many rows, and their vertices."""

    batch: int
    start: int
    count: int
    vertices: int


class InstanceStore:
    """A file of instances, an image's instances together; it is written first, then read by image, then gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns = InstanceColumns()
        self._numbers = count()
        self._number = next(self._numbers)
        self._written: list[int] = []
        """Numbers of the batches in the order in which they were written."""

    def __enter__(self) -> Self:
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pa.ipc.new_file(self._sink, INSTANCES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sink.close()
        self._path.unlink(missing_ok=True)

    def add(self, instances: Sequence[Instance], source: str) -> Stored:
        """Store what `source` says of one image; ids that occur twice in it are told apart by a number behind them."""
        if len(self._columns.ids) >= ROWS_AT_ONCE or self._columns.vertices >= VERTICES_AT_ONCE:
            self._write_columns()
        start, before = len(self._columns.ids), self._columns.vertices
        for instance, instance_id in zip(instances, _distinct([each.id for each in instances]), strict=True):
            self._columns.add(instance, instance_id, f"{source}#{instance.id}")
        return Stored(self._number, start, len(instances), self._columns.vertices - before)

    def add_batch(self, batch: pa.RecordBatch) -> int:
        """Store the instances of many images at once (ids are distinct within each); return the batch's number."""
        number = next(self._numbers)
        self._write(batch, number)
        return number

    def finish(self) -> None:
        """Write what still waits; from here on instances can be taken."""
        if self._columns.ids:
            self._write_columns()
        self._writer.close()
        self._sink.close()
        self._reader = pa.ipc.open_file(pa.memory_map(str(self._path)))
        self._places = {number: place for place, number in enumerate(self._written)}

    def take(self, images: Sequence[Stored]) -> pa.Table:
        """Return the instances of these images, image by image, in the columns of `tables.INSTANCE_FIELDS`."""
        full = [(self._places[each.batch], each.start, each.count) for each in images if each.count]
        if not full:
            return INSTANCES.empty_table()
        batches, starts, counts = np.array(full, np.int64).T
        order = np.argsort(batches, kind="stable")
        batches, starts, counts = batches[order], starts[order], counts[order]
        firsts = np.flatnonzero(np.diff(batches, prepend=-1))
        pieces = [
            _rows(self._reader.get_batch(int(batches[first])), starts[first:end], counts[first:end])
            for first, end in zip(firsts, [*firsts[1:], len(batches)], strict=True)
        ]
        table = pa.Table.from_batches(pieces)
        if (np.diff(order) == 1).all():
            return table
        there = np.empty(len(order), np.int64)
        there[order] = np.cumsum(counts) - counts
        counts_as_asked = np.empty_like(counts)
        counts_as_asked[order] = counts
        return table.combine_chunks().take(pa.array(ranges(there, counts_as_asked)))

    def instances(self, images: Sequence[Stored]) -> Iterator[list[Instance]]:
        """Yield the instances of each of these images, one by one."""
        batch = one_batch(self.take(images))
        every = instances_at(batch, np.arange(batch.num_rows))
        yield from (list(islice(every, each.count)) for each in images)

    def _write_columns(self) -> None:
        self._write(self._columns.batch(), self._number)
        self._columns = InstanceColumns()
        self._number = next(self._numbers)

    def _write(self, batch: pa.RecordBatch, number: int) -> None:
        self._writer.write_batch(batch)
        self._written.append(number)


def portions(items: Iterable[Item], stored: Callable[[Item], Stored]) -> Iterator[list[Item]]:
    """Yield items in lists of which the instances, where `stored` says, may be taken at once."""
    portion: list[Item] = []
    rows = vertices = 0
    for item in items:
        its = stored(item)
        portion.append(item)
        rows, vertices = rows + its.count, vertices + its.vertices
        if rows >= ROWS_AT_ONCE or vertices >= VERTICES_AT_ONCE or len(portion) >= ROWS_AT_ONCE:
            yield portion
            portion, rows, vertices = [], 0, 0
    if portion:
        yield portion


def _rows(batch: pa.RecordBatch, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> pa.RecordBatch:
    """Return stretches of rows, without copying them where they follow one another."""
    if (starts[1:] == starts[:-1] + counts[:-1]).all():
        return batch.slice(int(starts[0]), int(counts.sum()))
    return batch.take(pa.array(ranges(starts, counts)))


def _distinct(ids: list[str]) -> list[str]:
    own = set(ids)
    if len(own) == len(ids) and all(ids):
        return ids
    distinct = DistinctIds(own)
    return [distinct.give(each or str(position), bool(each)) for position, each in enumerate(ids)]
