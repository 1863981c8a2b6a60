"""What a mask is: every pixel of the image that the area of an instance touches.

Here polygons are clipped, boxed and filled by that rule, for training and for evaluation alike; `docs/masks.md` has the
measurement. It knows rings of (x, y) vertices and nothing of images or classes.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.floating]
"""[K, 2] float, (x, y) in pixels, K >= 3, the closing vertex not repeated; pixel (r, c) covers [c, c+1) x [r, r+1)."""

FULL = 240
"""The coverage of a cell that is covered whole; a half and a quarter of it are whole numbers, too."""

EPSILON = 1e-9
"""Less than this much of a pixel, in its width or height, is not touched: it comes from rounding of floats."""

Window = tuple[int, int, int, int]
"""(y1, x1, y2, x2) in pixels; y2 and x2 lie outside."""

Size = tuple[float, float]
"""(height, width) of a pixel of the stored image in pixels of the grid that polygons are given in."""

STORED: Size = (1.0, 1.0)
"""Where polygons are given in pixels of the stored image."""

Edges = NDArray[np.float64]
"""[E, 6]: x and y of start and end, and half the width and height of a pixel of the stored image, in cells."""

_TURN = 1 << 16
"""What one winding counts for where windings and touching edges are added up together."""


def mask(
    rings: Iterable[Ring], height: int, width: int, window: Window | None = None, pixel: Size = STORED
) -> NDArray[np.bool_]:
    """Return the mask of an instance, [height, width] bool: the pixels that its area touches.

    The area is the union of the rings, each filled nonzero (also where it crosses itself), inside `window` or, without
    one, inside the mask. A rectangle from 10 to 20 is ten pixels wide; a ring without area has no pixel.

    Args:
        rings: (x, y) in pixels of the mask.
        height: of the mask, in pixels.
        width: of the mask, in pixels.
        window: what is outside of it is cut off.
        pixel: size of a pixel of the stored image, in pixels of the mask; see `fill`.
    """
    filled = np.zeros((height, width), np.bool_)
    top, left, bottom, right = window or (0, 0, height, width)
    reach = np.array(pixel[::-1]) / 2
    for ring in clipped(rings, (top, left, bottom, right)):
        x1, y1 = np.maximum(np.floor(ring.min(axis=0) - reach).astype(int), (left, top))
        x2, y2 = np.minimum(np.ceil(ring.max(axis=0) + reach).astype(int), (right, bottom))
        filled[y1:y2, x1:x2] |= fill([[ring]], np.array([[y1, x1, y2, x2]]), (y2 - y1, x2 - x1), pixel)[0]
    return filled


def clipped(rings: Iterable[Ring], window: Window) -> list[Ring]:
    """Return the parts of the rings inside `window`, those without area left out."""
    inside = (clip_ring(ring, window) for ring in rings)
    return [ring for ring in inside if encloses_area(ring)]


def clip_ring(ring: Ring, window: tuple[float, float, float, float]) -> Ring:
    """Return the part of `ring` inside `window` (y1, x1, y2, x2) as one ring, [K', 2] float64, empty where none is.

    Sutherland and Hodgman, "Reentrant polygon clipping", CACM 17(1), 1974: parts that fall apart stay joined along
    the window's edge, which changes no filled pixel.
    """
    y1, x1, y2, x2 = window
    ring = np.asarray(ring, np.float64)
    (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
    if left >= x1 and top >= y1 and right <= x2 and bottom <= y2:
        return ring
    for axis, bound, sign in ((0, x1, 1), (0, x2, -1), (1, y1, 1), (1, y2, -1)):
        ring = _clip_side(ring, axis, bound, sign)
    return ring


def _clip_side(ring: Ring, axis: int, bound: float, sign: int) -> Ring:
    """Return the part [L, 2] of a ring [K, 2] (x, y) where `sign * (coordinate - bound) >= 0` along `axis`."""
    depth = sign * (ring[:, axis] - bound)
    before, depth_before = np.roll(ring, 1, axis=0), np.roll(depth, 1)
    inside = depth >= 0
    crosses = inside != (depth_before >= 0)
    share = np.divide(depth_before, depth_before - depth, out=np.zeros_like(depth), where=crosses)
    crossing = before + (ring - before) * share[:, None]
    crossing[:, axis] = bound
    pairs = np.stack([crossing, ring], axis=1)
    return pairs[np.stack([crosses, inside], axis=1)]


def encloses_area(ring: Ring) -> bool:
    """Say whether the vertices of a ring don't all lie on one line (a figure of eight does enclose area)."""
    if len(ring) < 3:
        return False
    from_first = ring[1:] - ring[0]
    x, y = from_first[np.abs(from_first).sum(axis=1).argmax()]
    across = x * from_first[:, 1] - y * from_first[:, 0]
    return bool((np.abs(across) > 1e-9).any())


def pixel_box(
    rings: Sequence[Ring], window: Window, pixel: Size = STORED, origin: tuple[float, float] = (0.0, 0.0)
) -> Window:
    """Return the box of the pixels of the stored image that the rings touch, in whole pixels, at least one each way.

    `rings` must lie within `window`, which must not be empty; so does the box. A pixel of the stored image is of size
    `pixel` in those of the window, the image's corner at `origin` (y, x).
    """
    points = np.concatenate(rings) if len(rings) > 1 else rings[0]
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    y1, y2 = _pixel_span(top, bottom, pixel[0], origin[0], window[0], window[2])
    x1, x2 = _pixel_span(left, right, pixel[1], origin[1], window[1], window[3])
    return y1, x1, y2, x2


def _pixel_span(low: float, high: float, side: float, origin: float, first: int, end: int) -> tuple[int, int]:
    """Return (start, stop) of what the stored pixels that low … high touches take up, rounded, within [first, end)."""
    start = math.floor(math.floor((low - origin) / side + EPSILON) * side + origin + 0.5)
    stop = math.floor(math.ceil((high - origin) / side - EPSILON) * side + origin + 0.5)
    if stop <= start:
        start = math.floor((low + high) / 2)
    start = min(max(start, first), end - 1)
    return start, min(max(stop, start + 1), end)


def fill(
    instances: Sequence[Sequence[Ring]],
    boxes: NDArray[np.int32],
    shape: tuple[int, int],
    pixel: Size = STORED,
) -> NDArray[np.bool_]:
    """Fill every instance on a grid laid over its box.

    Where a cell of the grid is a pixel of the stored image, it is filled when the area touches it, which is to say:
    when a rectangle of that size around the cell's centre has a part of the area. So it is asked on any other grid.

    Args:
        instances: N lists of rings, (x, y) in pixels; an instance is the union of its rings.
        boxes: [N, 4] int, (y1, x1, y2, x2) in pixels, none empty.
        shape: (h, w) of the grid; with the box's own height and width a cell is a pixel.
        pixel: size of a pixel of the stored image in the pixels of rings and boxes; at (0, 0) the cells are filled
            whose centres are inside.

    Returns:
        [N, h, w] bool, True where the rectangle around the centre of the cell touches the instance: where a ring has a
        nonzero winding number at the centre, or an edge crosses the rectangle.
    """
    if not len(instances):
        return np.zeros((0, *shape), bool)
    edges, ring_of_edge, instance_of_ring = _edges(instances, np.asarray(boxes, np.float64), shape, pixel)
    filled = _filled(edges, ring_of_edge, len(instance_of_ring), shape)
    first = np.append(True, instance_of_ring[1:] != instance_of_ring[:-1])
    united = filled[first]
    for ring in np.flatnonzero(~first):
        united[instance_of_ring[ring]] |= filled[ring]
    return united


def coverage(
    instances: Sequence[Sequence[Ring]],
    boxes: NDArray[np.int32],
    shape: tuple[int, int],
    pixel: Size = STORED,
) -> NDArray[np.uint8]:
    """Return how far each cell of a grid laid over each instance's box is covered, 0 to FULL: [N, h, w] uint8.

    By a grid twice as fine; arguments are those of `fill`.
    """
    h, w = shape
    quarters = fill(instances, boxes, (2 * h, 2 * w), pixel).view(np.uint8)
    rows = quarters[:, ::2] + quarters[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) * np.uint8(FULL // 4)


def _edges(
    instances: Sequence[Sequence[Ring]], boxes: NDArray[np.float64], shape: tuple[int, int], pixel: Size
) -> tuple[Edges, NDArray[np.int64], NDArray[np.int64]]:
    """Return all edges [E, 6] in (x, y) cells, the ring of each [E], and each ring's instance [R]."""
    rings = [ring for of_one in instances for ring in of_one]
    instance_of_ring = np.repeat(np.arange(len(instances)), [len(of_one) for of_one in instances])
    lengths = np.array([len(ring) for ring in rings])
    ring_of_edge = np.repeat(np.arange(len(rings)), lengths)
    box = boxes[instance_of_ring][ring_of_edge]
    cells = np.array(shape[::-1]) / (box[:, [3, 2]] - box[:, [1, 0]])
    starts = (np.concatenate(rings) - box[:, [1, 0]]) * cells
    last = np.cumsum(lengths)
    following = np.arange(1, len(starts) + 1)
    following[last - 1] = last - lengths
    edges = np.concatenate([starts, starts[following], cells * np.array(pixel[::-1]) / 2], axis=1)
    return edges, ring_of_edge, instance_of_ring


def _filled(edges: Edges, ring_of_edge: NDArray[np.int64], rings: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return [rings, h, w] bool: nonzero windings, and cells that edges touch, both added up along the rows."""
    h, w = shape
    low, high = np.minimum(edges[:, 1], edges[:, 3]) - edges[:, 5], np.maximum(edges[:, 1], edges[:, 3]) + edges[:, 5]
    first = np.clip(np.ceil(low - 0.5), 0, h).astype(np.int64)
    counts = np.maximum(np.clip(np.floor(high - 0.5) + 1, 0, h).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(edges)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    line = (ring_of_edge[edge] * h + row) * (w + 1)
    spread, y = edges[edge], row + 0.5
    steps = _windings(spread, y, line, w), _touches(spread, y, line, w)
    cells, weights = (np.concatenate(each) for each in zip(*steps, strict=True))
    summed = np.bincount(cells, weights, rings * h * (w + 1)).astype(np.int32).reshape(rings, h, w + 1)
    return np.cumsum(summed, axis=2, dtype=np.int32)[:, :, :w] != 0


Steps = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Cells at which a sum along a row changes, and by how much."""


def _windings(edges: Edges, y: NDArray[np.float64], line: NDArray[np.int64], width: int) -> Steps:
    """Return the steps where an edge crosses the line of cell centres at `y`: it winds around all centres behind it."""
    crosses = (edges[:, 1] <= y) != (edges[:, 3] <= y)
    x0, y0, x1, y1 = edges[crosses, :4].T
    crossing = x0 + (y[crosses] - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    return line[crosses] + column, np.where(y0 < y1, _TURN, -_TURN)


def _touches(edges: Edges, y: NDArray[np.float64], line: NDArray[np.int64], width: int) -> Steps:
    """Return the steps from the first to the last cell whose rectangle around the centre at `y` an edge crosses."""
    x0, y0, x1, y1, across, down = edges.T
    top, bottom = np.maximum(np.minimum(y0, y1), y - down), np.minimum(np.maximum(y0, y1), y + down)
    level = y0 == y1
    rise = np.where(level, 1.0, y1 - y0)
    one = x0 + (top - y0) / rise * (x1 - x0)
    other = np.where(level, x1, x0 + (bottom - y0) / rise * (x1 - x0))
    left = np.clip(np.floor(np.minimum(one, other) - across - 0.5 + EPSILON) + 1, 0, width).astype(np.int64)
    right = np.clip(np.ceil(np.maximum(one, other) + across - 0.5 - EPSILON), 0, width).astype(np.int64)
    inside = (right > left) & (top < y + down - EPSILON) & (bottom > y - down + EPSILON)
    ones = np.ones(np.count_nonzero(inside))
    return np.concatenate([line[inside] + left[inside], line[inside] + right[inside]]), np.concatenate([ones, -ones])
