"""One ring of vertices: cleaning, bounds, area, spikes along the image's border. Many at once are in `ring_table`.

Curves are flattened before (`bezier`), pixels come after (`mrcnn.shapes.polygons`).
"""

from collections import deque
from collections.abc import Sequence
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
