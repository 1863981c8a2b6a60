"""Single rings of vertices: cleaning, the area that one or several of them fill."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ring = NDArray[np.float64]
"""[K, 2] float64, (x, y) in pixels, K >= 3, curves flattened, closing vertex not repeated."""
Edges = NDArray[np.float64]
"""[E, 4] x1, y1, x2, y2."""

EDGES_AT_ONCE = 256
"""Edges whose crossings with all others are found at once: outlines of masks may have thousands."""


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in pixels: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


def rounded(vertices: ArrayLike) -> NDArray[np.float64]:
    """Return vertices and controls rounded to whole pixels, halves up, as BDD's toolkit does before it draws."""
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


def rectangle(left: float, top: float, right: float, bottom: float) -> Ring:
    """Return the four corners of a box as a ring, in the order of the 2019 script."""
    return np.array((left, top, left, bottom, right, bottom, right, top), np.float64).reshape(4, 2)


def filled_area(rings: Sequence[Ring]) -> float:
    """Return the area, in square pixels, of the union of the rings, each filled nonzero.

    Between two neighbouring heights at which edges begin, end or cross, no two of them change places: what is filled
    there are trapezoids, as high as that stretch and as wide as at its middle.
    """
    edges = [_edges(ring) for ring in rings]
    heights = np.unique(np.concatenate([*(ring[:, 1] for ring in rings), *_crossings(np.concatenate(edges))]))
    middles = (heights[1:] + heights[:-1]) / 2
    return float(sum(_width_at(edges, y) * rise for y, rise in zip(middles, np.diff(heights), strict=True)))


def _edges(ring: Ring) -> Edges:
    edges = np.concatenate([ring, np.roll(ring, -1, axis=0)], axis=1)
    return np.asarray(edges[edges[:, 1] != edges[:, 3]])


def _crossings(edges: Edges) -> Iterator[NDArray[np.float64]]:
    """Yield the heights at which edges cross one another."""
    start, along = edges[:, :2], edges[:, 2:] - edges[:, :2]
    for first in range(0, len(edges), EDGES_AT_ONCE):
        part = slice(first, first + EDGES_AT_ONCE)
        apart = start[None] - start[part, None]
        across = _cross(along[part, None], along[None])
        with np.errstate(divide="ignore", invalid="ignore"):
            share, share_of_other = _cross(apart, along[None]) / across, _cross(apart, along[part, None]) / across
        meets = (across != 0) & (share > 0) & (share < 1) & (share_of_other > 0) & (share_of_other < 1)
        own, _ = np.nonzero(meets)
        yield start[part][own, 1] + share[meets] * along[part][own, 1]


def _cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])


def _width_at(edges: Sequence[Edges], y: float) -> float:
    """Return the length of the line at height `y`, where no edge begins or ends, that any ring fills."""
    spans = np.concatenate([_spans(each, y) for each in edges])
    spans = spans[np.argsort(spans[:, 0])]
    reached = np.maximum.accumulate(np.concatenate([[-np.inf], spans[:, 1]]))[:-1]
    return float(np.maximum(spans[:, 1] - np.maximum(spans[:, 0], reached), 0).sum())


def _spans(edges: Edges, y: float) -> NDArray[np.float64]:
    """Return where a line at height `y` is inside one ring: [S, 2] from and to."""
    x1, y1, x2, y2 = edges[(np.minimum(edges[:, 1], edges[:, 3]) < y) & (y < np.maximum(edges[:, 1], edges[:, 3]))].T
    x = x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    order = np.argsort(x)
    winding = np.cumsum(np.where(y2 > y1, 1, -1)[order])
    inside = np.flatnonzero(winding[:-1])
    return np.stack([x[order][inside], x[order][inside + 1]], axis=1)
