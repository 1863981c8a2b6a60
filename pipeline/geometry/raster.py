"""From rings to pixels by the rule of BDD's toolkit: every pixel that the area touches is filled.

Its other half, rounding vertices and controls before curves are flattened, is `polygon.rounded`, which the BDD readers
apply; the way back, from pixels to rings, is in `contours`.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry import polygon
from pipeline.instances import Ring

EPSILON = 1e-9
"""Less than this much of a pixel, in its width, is not touched: it comes from rounding of floats."""


def mask(rings: Iterable[Ring], height: int, width: int) -> NDArray[np.bool_]:
    """Return [height, width] bool, the union of the rings, each filled nonzero (where it crosses itself, too).

    Pixel (row, column) spans column to column + 1 and row to row + 1, so a rectangle from 10 to 20 is ten pixels wide.
    Each pixel that the area touches is filled; what lies outside the image is not drawn.
    """
    filled = np.zeros((height, width), np.bool_)
    for ring in rings:
        for inside in polygon.clip([ring], width, height):
            left, top = np.floor(inside.min(axis=0)).astype(int)
            right, bottom = np.ceil(inside.max(axis=0)).astype(int)
            filled[top:bottom, left:right] |= _touched(inside - (left, top), bottom - top, right - left)
    return filled


def _touched(ring: Ring, height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels inside the ring (nonzero winding at the centre) and those that its edges cross."""
    starts, ends = ring, np.roll(ring, -1, axis=0)
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    first = np.floor(low).astype(np.int64)
    counts = np.ceil(high).astype(np.int64) - first
    edge = np.repeat(np.arange(len(ring)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    return _inside(starts, ends, edge, row, (height, width)) | _crossed(starts, ends, edge, row, (height, width))


def _inside(
    starts: Ring, ends: Ring, edge: NDArray[np.int64], row: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Count, along each row of pixel centres, how often edges wind around them."""
    centre = row + 0.5
    downwards = ends[edge, 1] > starts[edge, 1]
    crossing = (starts[edge, 1] <= centre) != (ends[edge, 1] <= centre)
    edge, row, centre, downwards = edge[crossing], row[crossing], centre[crossing], downwards[crossing]
    column = np.floor(_at(starts, ends, edge, centre) - 0.5).astype(np.int64) + 1
    winding = np.zeros((shape[0], shape[1] + 1), np.int16)
    np.add.at(winding, (row, np.clip(column, 0, shape[1])), np.where(downwards, 1, -1).astype(np.int16))
    return np.asarray(np.cumsum(winding, axis=1, dtype=np.int16)[:, :-1] != 0)


def _crossed(
    starts: Ring, ends: Ring, edge: NDArray[np.int64], row: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Mark, in each row, the pixels from where an edge enters the row to where it leaves it."""
    low, high = np.minimum(starts[edge, 1], ends[edge, 1]), np.maximum(starts[edge, 1], ends[edge, 1])
    level = low == high
    one = np.where(level, starts[edge, 0], _at(starts, ends, edge, np.maximum(low, row)))
    other = np.where(level, ends[edge, 0], _at(starts, ends, edge, np.minimum(high, row + 1)))
    left = np.floor(np.minimum(one, other) + EPSILON).astype(np.int64)
    right = np.ceil(np.maximum(one, other) - EPSILON).astype(np.int64)
    touches = right > left
    runs = np.zeros((shape[0], shape[1] + 1), np.int16)
    np.add.at(runs, (row[touches], np.clip(left[touches], 0, shape[1])), np.int16(1))
    np.add.at(runs, (row[touches], np.clip(right[touches], 0, shape[1])), np.int16(-1))
    return np.asarray(np.cumsum(runs, axis=1, dtype=np.int16)[:, :-1] > 0)


def _at(starts: Ring, ends: Ring, edge: NDArray[np.int64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where edges are at height y; for a level edge, its start."""
    rise = ends[edge, 1] - starts[edge, 1]
    share = np.divide(y - starts[edge, 1], rise, out=np.zeros_like(rise), where=rise != 0)
    return np.asarray(starts[edge, 0] + (ends[edge, 0] - starts[edge, 0]) * share)
