"""Rings of vertices: cleaning, bounds, area, clipping to the image, and the ribbon that stands for an open line.

Curves are flattened before (`bezier`), pixels come after (`raster`).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ring = NDArray[np.float64]
"""[K, 2] float64, (x, y) in pixels, K >= 3, curves flattened, closing vertex not repeated."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in pixels: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


def rounded(vertices: ArrayLike) -> NDArray[np.float64]:
    """Return vertices and controls at whole pixels, halves up, as BDD's toolkit has them before it draws anything."""
    return np.floor(np.asarray(vertices, np.float64).reshape(-1, 2) + 0.5)


def clean(points: ArrayLike) -> Ring:
    """Return a ring as [K, 2] float64 without repeated neighbours and without a closing vertex; K may be below 3."""
    ring = np.asarray(points, np.float64).reshape(-1, 2)
    moved = (ring[1:] != ring[:-1]).any(axis=1)
    if not moved.all():
        ring = ring[np.concatenate([[True], moved])]
    closes = len(ring) > 1 and (ring[0] == ring[-1]).all()
    return ring[:-1] if closes else ring


def encloses_area(ring: Ring) -> bool:
    """Say whether the vertices of a ring don't all lie on one line (a figure of eight does enclose area)."""
    if len(ring) < 3:
        return False
    from_first = ring[1:] - ring[0]
    x, y = from_first[np.abs(from_first).sum(axis=1).argmax()]
    across = x * from_first[:, 1] - y * from_first[:, 0]
    return bool((np.abs(across) > 1e-9).any())


def area(ring: Ring) -> float:
    """Return the area of a ring that doesn't cross itself, in square pixels (shoelace formula)."""
    x, y = ring.T
    next_x, next_y = np.concatenate([ring[1:], ring[:1]]).T
    return float(abs((x * next_y - y * next_x).sum()) / 2)


def bounds(rings: Sequence[Ring]) -> Box:
    """Return the box around one or more rings."""
    points = rings[0] if len(rings) == 1 else np.concatenate(rings)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Box(left, top, right - left, bottom - top)


def rectangle(left: float, top: float, right: float, bottom: float) -> Ring:
    """Return the four corners of a box as a ring, in the order of the 2019 script."""
    return np.array((left, top, left, bottom, right, bottom, right, top), np.float64).reshape(4, 2)


def clip(rings: Iterable[Ring], width: float, height: float) -> tuple[Ring, ...]:
    """Return what lies inside the image (0 to width, 0 to height); rings that have no area there are left out.

    Sutherland and Hodgman, "Reentrant polygon clipping" (1974): a ring that the border cuts in several parts stays one
    ring, its parts joined along the border, where nonzero filling adds nothing.
    """
    inside = (_clip_ring(ring, width, height) for ring in rings)
    return tuple(ring for ring in inside if encloses_area(ring))


def _clip_ring(ring: Ring, width: float, height: float) -> Ring:
    if ring.min() >= 0 and ring[:, 0].max() <= width and ring[:, 1].max() <= height:
        return ring
    for axis, bound, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        ring = _clip_side(ring, axis, bound, sign)
        if len(ring) < 3:
            return ring
    return without_spikes(clean(ring), width, height)


def without_spikes(ring: Ring, width: float, height: float) -> Ring:
    """Return a ring that doesn't run along a border of the image and straight back, as round a corner it doesn't fill.

    That encloses nothing, but would make the box around it larger.
    """
    kept: deque[list[float]] = deque()
    for point in ring.tolist():
        while len(kept) > 1 and _turns_back(kept[-2], kept[-1], point, width, height):
            kept.pop()
        if not kept or kept[-1] != point:
            kept.append(point)
    while len(kept) > 2:
        if kept[-1] == kept[0] or _turns_back(kept[-2], kept[-1], kept[0], width, height):
            kept.pop()
        elif _turns_back(kept[-1], kept[0], kept[1], width, height):
            kept.popleft()
        else:
            break
    return np.array(kept, np.float64)


def _turns_back(before: list[float], point: list[float], after: list[float], width: float, height: float) -> bool:
    """Say whether a path runs along a border of the image and straight back at `point`."""
    for axis, side in ((0, width), (1, height)):
        if before[axis] == point[axis] == after[axis] and point[axis] in (0, side):
            to_it, from_it = point[1 - axis] - before[1 - axis], after[1 - axis] - point[1 - axis]
            return (to_it > 0 > from_it) or (to_it < 0 < from_it)
    return False


def _clip_side(ring: Ring, axis: int, bound: float, sign: int) -> Ring:
    """Keep the part of the ring where sign * (coordinate - bound) is not negative."""
    depth = sign * (ring[:, axis] - bound)
    before, depth_before = np.roll(ring, 1, axis=0), np.roll(depth, 1)
    inside = depth >= 0
    crosses = inside != (depth_before >= 0)
    share = np.divide(depth_before, depth_before - depth, out=np.zeros_like(depth), where=crosses)
    crossing = before + (ring - before) * share[:, None]
    crossing[:, axis] = bound
    pairs = np.stack([crossing, ring], axis=1)
    kept: Ring = pairs[np.stack([crosses, inside], axis=1)]
    return kept


def ribbon(line: NDArray[np.float64], width: float) -> Ring:
    """Return the ring around an open line ([K, 2], K >= 2, no repeated neighbours) that is `width` pixels wide."""
    along = np.diff(line, axis=0)
    along /= _lengths(along)[:, None]
    normals = np.stack([-along[:, 1], along[:, 0]], axis=1)
    at_vertices = np.concatenate([normals[:1], normals[:-1] + normals[1:], normals[-1:]])
    at_vertices[1:-1] /= np.maximum(_lengths(at_vertices[1:-1]), 1e-9)[:, None]
    offset = at_vertices * width / 2
    return np.concatenate([line + offset, (line - offset)[::-1]])


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths [K] of vectors [K, 2], by operations that every processor rounds alike."""
    x, y = vectors.T
    return np.asarray(np.sqrt(x * x + y * y), np.float64)
