"""The area that rings fill together, also where they overlap or cross themselves.

Which rings those are is decided elsewhere; their pixels are `mrcnn.shapes.polygons`' business.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring

MOST_OF_A_SIMPLE_RING = 1024
"""Vertices; of longer rings it isn't found out whether they cross themselves."""
EDGES_AT_ONCE = 256
"""Of which the crossings with all others are looked for: outlines of masks may have thousands."""

Edges = NDArray[np.float64]
"""[E, 4] x1, y1, x2, y2."""


def filled_area(rings: Sequence[Ring]) -> float:
    """Return the area, in square pixels, of the union of the rings, each filled nonzero.

    Between two neighbouring heights at which edges begin, end or cross, no two of them change places: what is filled
    there are trapezoids, as high as that stretch and as wide as at its middle.
    """
    if len(rings) == 1 and len(rings[0]) <= MOST_OF_A_SIMPLE_RING and _is_simple(rings[0]):
        return polygon.area(rings[0])
    edges = [_edges(ring) for ring in rings]
    heights = np.unique(np.concatenate([*(ring[:, 1] for ring in rings), *_crossings(np.concatenate(edges))]))
    middles = (heights[1:] + heights[:-1]) / 2
    return float(sum(_width_at(edges, y) * rise for y, rise in zip(middles, np.diff(heights), strict=True)))


def _is_simple(ring: Ring) -> bool:
    """Say whether no side of a ring meets any but its neighbours (also no for some that only lie on one line)."""
    start, end = ring, np.roll(ring, -1, axis=0)
    along = end - start
    to_start = _cross(along[:, None], start[None] - start[:, None])
    to_end = _cross(along[:, None], end[None] - start[:, None])
    divides = to_start * to_end <= 0  # [K, K]: the line of a side has both ends of another on its sides
    sides = np.arange(len(ring))
    apart = (sides[:, None] - sides) % len(ring)
    return not (divides & divides.T & (apart > 1) & (apart < len(ring) - 1)).any()


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
    """Return how much of a line at height `y`, at which no edge begins or ends, is filled by any ring."""
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
