"""Polygons: clipping them to a window, their pixel box, and filling them on a grid.

Knows rings of (x, y) vertices and nothing of images or classes; masks made from pixels are `masks`' subject.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.floating]
"""[K, 2] float, (x, y) in pixels, K >= 3, the closing vertex not repeated; pixel (r, c) covers [c, c+1) x [r, r+1)."""

FULL = 240
"""The coverage of a cell that is covered whole; a half and a quarter of it are whole numbers, too."""

Window = tuple[int, int, int, int]
"""(y1, x1, y2, x2) in pixels; y2 and x2 lie outside."""


def clip_ring(ring: Ring, window: Window) -> Ring:
    """Return the part of `ring` inside `window` as one ring, [K', 2] float64, empty where nothing is inside.

    Sutherland and Hodgman, "Reentrant polygon clipping", CACM 17(1), 1974: parts that fall apart stay joined along
    the window's edge, which changes no filled pixel.
    """
    y1, x1, y2, x2 = window
    ring = np.asarray(ring, np.float64)
    (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
    if left >= x1 and top >= y1 and right <= x2 and bottom <= y2:
        return ring
    for axis, bound, sign in ((0, x1, 1), (0, x2, -1), (1, y1, 1), (1, y2, -1)):
        ring = _clip_side(ring, axis, float(bound), sign)
    return ring


def _clip_side(ring: Ring, axis: int, bound: float, sign: int) -> Ring:
    """The part [L, 2] of a ring [K, 2] (x, y) in pixels where `sign * (coordinate - bound) >= 0` along `axis`."""
    distance = sign * (ring[:, axis] - bound)
    inside = distance >= 0
    if inside.all() or not inside.any():
        return ring if inside.all() else ring[:0]
    after, distance_after = np.roll(ring, -1, axis=0), np.roll(distance, -1)
    crosses = inside != np.roll(inside, -1)
    share = np.divide(distance, distance - distance_after, out=np.zeros_like(distance), where=crosses)
    points = np.stack([ring, ring + share[:, None] * (after - ring)], axis=1).reshape(-1, 2)
    return points[np.stack([inside, crosses], axis=1).reshape(-1)]


def pixel_box(rings: Sequence[Ring], window: Window) -> Window:
    """Return the smallest box of whole pixels whose centres the rings' extent holds, at least one pixel wide and high.

    `rings` must lie within `window`, which must not be empty; so does the box.
    """
    points = np.concatenate(rings) if len(rings) > 1 else rings[0]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    y1, y2 = _pixel_span(float(top), float(bottom), window[0], window[2])
    x1, x2 = _pixel_span(float(left), float(right), window[1], window[3])
    return y1, x1, y2, x2


def _pixel_span(low: float, high: float, first: int, end: int) -> tuple[int, int]:
    """Return (start, stop) of the pixels whose centres lie in [low, high], within [first, end)."""
    start, stop = int(np.ceil(low - 0.5)), int(np.floor(high - 0.5)) + 1
    if stop <= start:
        start = int(np.floor((low + high) / 2))
        stop = start + 1
    start = min(max(start, first), end - 1)
    return start, min(max(stop, start + 1), end)


def fill(instances: Sequence[Sequence[Ring]], boxes: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill every instance on a grid laid over its box.

    Args:
        instances: N lists of rings, (x, y) in pixels; an instance is the union of its rings.
        boxes: [N, 4] int, (y1, x1, y2, x2) in pixels, none empty.
        shape: (h, w) of the grid; with the box's own height and width a cell is a pixel.

    Returns:
        [N, h, w] bool, True where the centre of the cell has a nonzero winding number for some ring of the instance.
    """
    if not len(instances):
        return np.zeros((0, *shape), bool)
    starts, ends, ring_of_edge, instance_of_ring = _edges(instances, np.asarray(boxes, np.float64), shape)
    winding = _winding(starts, ends, ring_of_edge, len(instance_of_ring), shape)
    first_ring = np.searchsorted(instance_of_ring, np.arange(len(instances)))
    return np.logical_or.reduceat(winding != 0, first_ring, axis=0)


def coverage(
    instances: Sequence[Sequence[Ring]], boxes: NDArray[np.int32], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return how far each cell of a grid laid over each instance's box is covered, 0 to FULL: [N, h, w] uint8.

    By a grid twice as fine; arguments are those of `fill`.
    """
    h, w = shape
    quarters = fill(instances, boxes, (2 * h, 2 * w)).view(np.uint8)
    rows = quarters[:, ::2] + quarters[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) * np.uint8(FULL // 4)


def _edges(
    instances: Sequence[Sequence[Ring]], boxes: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return starts [E, 2] and ends [E, 2] of all edges in (x, y) cells, the ring of each, and each ring's instance."""
    rings = [ring for of_one in instances for ring in of_one]
    instance_of_ring = np.repeat(np.arange(len(instances)), [len(of_one) for of_one in instances])
    lengths = np.array([len(ring) for ring in rings])
    ring_of_edge = np.repeat(np.arange(len(rings)), lengths)
    box = boxes[instance_of_ring][ring_of_edge]
    starts = np.concatenate(rings).astype(np.float64)
    starts = (starts - box[:, [1, 0]]) * (np.array(shape[::-1]) / (box[:, [3, 2]] - box[:, [1, 0]]))
    last = np.cumsum(lengths)
    following = np.arange(1, len(starts) + 1)
    following[last - 1] = last - lengths
    return starts, starts[following], ring_of_edge, instance_of_ring


def _winding(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    ring_of_edge: NDArray[np.int64],
    rings: int,
    shape: tuple[int, int],
) -> NDArray[np.int16]:
    """Return winding numbers [rings, h, w] int16 at cell centres: what the edges to the left of a centre add up to."""
    h, w = shape
    centres = np.arange(h) + 0.5
    starts_above = starts[:, 1, None] <= centres
    edge, row = np.nonzero(starts_above != (ends[:, 1, None] <= centres))
    x0, y0 = starts[edge].T
    x1, y1 = ends[edge].T
    crossing = x0 + (centres[row] - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(crossing - 0.5), 0, w).astype(np.int64)
    direction = np.where(starts_above[edge, row], 1, -1)
    cell = (ring_of_edge[edge] * h + row) * (w + 1) + column
    steps = np.bincount(cell, weights=direction, minlength=rings * h * (w + 1)).astype(np.int16)
    return np.cumsum(steps.reshape(rings, h, w + 1), axis=2, dtype=np.int16)[:, :, :w]
