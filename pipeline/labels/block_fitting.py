"""Instances of a block fitted to their images: clipped all at once, with the result of one by one.

Rows about which there is any doubt are judged by `instance_fitting`, which knows all rules; here is what is common.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.geometry.ring_table import Points, RingTable, areas, clipped, enclose_area, extents, ranges
from pipeline.instances.columns import (
    INSTANCES,
    InstanceColumns,
    bounding_boxes,
    boxes,
    boxes_in,
    instances_at,
    one_batch,
    polygons,
    rings_in,
)
from pipeline.instances.records import Instance

Judge = Callable[[Instance, int, int], tuple[Instance | None, str]]
"""Returns the part of an instance inside an image of a width and height, or None and why nothing is left of it."""

ROUNDING = 1e-3
"""Square pixels by which areas computed in different orders may differ at most, inside an image."""


@dataclass(frozen=True)
class Fitted:
    """Rows that lie in their images: `kept` ([N] int64, rising) are their places in the block."""

    batch: pa.RecordBatch
    kept: NDArray[np.int64]
    left_out: dict[int, tuple[Instance, str]]
    """By place in the block: the instance as it was read, and why it is left out."""


def fit(
    batch: pa.RecordBatch,
    sizes: NDArray[np.int64],
    least_area: float,
    judge: Judge,
    judged: NDArray[np.bool_] | None = None,
) -> Fitted:
    """Return the rows that lie, at least in part, in images of `sizes` ([N, 2] width, height; -1: no image, dropped).

    Rows of less than about `least_area` square pixels, and those of `judged` ([N] bool), are judged one by one.
    """
    rings, each = rings_in(batch["polygons"])
    first_ring = np.cumsum(each) - each
    there = sizes[:, 0] >= 0
    over = there & _reach_over(batch, rings.points, rings.starts[first_ring], sizes)
    doubtful = np.zeros(len(there), bool) if judged is None else there & judged
    if least_area and len(each):
        doubtful |= there & (over | (_least_areas(rings, first_ring) < least_area + ROUNDING))
    rows = np.flatnonzero(over & ~doubtful)
    if len(rows):
        batch, failed = _clipped(batch, rings, each, sizes, rows)
        doubtful[failed] = True
    return _judged(batch, sizes, np.flatnonzero(there & ~doubtful), np.flatnonzero(doubtful), judge)


def _least_areas(rings: RingTable, first_ring: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return an area ([N]) that each row fills at least, which it does where its rings don't cross or overlap.

    A ring of K vertices winds round a point (K - 1) / 2 times at most, and the shoelace formula counts it as often.
    """
    at_least = areas(rings) / np.maximum((rings.lengths - 1) // 2, 1)
    return np.asarray(np.maximum.reduceat(at_least, first_ring))


def _reach_over(
    batch: pa.RecordBatch, points: Points, starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say which rows ([N] bool), whose points begin at `starts`, don't lie in their image as they are."""
    least, most = extents(points, starts)
    over: NDArray[np.bool_] = np.asarray(((least < 0) | (most > sizes)).any(axis=1))
    rows = np.flatnonzero(over)
    if len(rows):
        x, y, width, height = (batch["box"].field(side).to_numpy()[rows] for side in range(4))
        inside = (x >= 0) & (y >= 0) & (x + width <= sizes[rows, 0]) & (y + height <= sizes[rows, 1])
        over[rows] = ~(inside & (batch["geometry"].take(pa.array(rows)).to_numpy(zero_copy_only=False) == "box"))
    return over


def _clipped(
    batch: pa.RecordBatch, rings: RingTable, each: NDArray[np.int64], sizes: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    """Return the batch with `rows` clipped, and those of them that lose a ring, which stay as they were."""
    own = ranges((np.cumsum(each) - each)[rows], each[rows])
    row_of = np.repeat(rows, each[rows])
    given = rings.chosen(own)
    least, most = extents(given.points, given.starts)
    outside = ((least < 0) | (most > sizes[row_of])).any(axis=1)
    inner, alive = clipped(given.chosen(np.flatnonzero(outside)), *sizes[row_of[outside]].T.astype(np.float64))
    whole = enclose_area(given)
    whole[outside] &= alive
    failed = np.unique(row_of[~whole])
    new = np.isin(row_of[outside][alive], failed, invert=True)
    rings = rings.with_replaced(own[outside][alive][new], inner.chosen(np.flatnonzero(new)))
    fitted = np.setdiff1d(rows, failed)
    around = boxes_in(batch["box"])
    theirs = rings.chosen(ranges((np.cumsum(each) - each)[fitted], each[fitted]))
    around[fitted] = bounding_boxes(theirs, each[fitted])
    columns = {"polygons": polygons(rings, each), "box": boxes(around)}
    changed = [columns.get(name, batch[name]) for name in INSTANCES.names]
    return pa.record_batch(changed, schema=INSTANCES), failed


def _judged(
    batch: pa.RecordBatch, sizes: NDArray[np.int64], sound: NDArray[np.int64], doubtful: NDArray[np.int64], judge: Judge
) -> Fitted:
    """Return the rows that are `sound`, and of the `doubtful` ones what is left of them, in their places."""
    columns, kept, left_out = InstanceColumns(), [], {}
    for row, instance in zip(doubtful.tolist(), instances_at(batch, doubtful), strict=True):
        fitted, reason = judge(instance, *sizes[row].tolist())
        if fitted is None:
            left_out[row] = (instance, reason)
        else:
            columns.add(fitted, fitted.id, batch["source"][row].as_py())
            kept.append(row)
    if len(sound) == batch.num_rows:
        return Fitted(batch, sound, left_out)
    rows = np.concatenate([sound, np.array(kept, np.int64)])
    order = np.argsort(rows)
    parts = pa.Table.from_batches([batch.take(pa.array(sound)), columns.batch()]).combine_chunks()
    return Fitted(one_batch(parts.take(pa.array(order))), rows[order], left_out)
