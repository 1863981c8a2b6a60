"""Many rings as one array of vertices: cleaned, measured, clipped to their images, lines widened."""

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""[P, 2] float64, (x, y) in pixels."""


@dataclass(frozen=True)
class RingTable:
    """Rings that follow one another: `points` [P, 2], and how many of them each ring has ([R] int64, none is 0)."""

    points: Points
    lengths: NDArray[np.int64]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """[R] int64: the first point of each ring."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """[P] int64: the ring of each point."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def previous(self) -> NDArray[np.int64]:
        """[P] int64: the point before each point of its ring, cyclically."""
        previous = np.arange(-1, len(self.points) - 1)
        previous[self.starts] = self.starts + self.lengths - 1
        return previous

    @cached_property
    def following(self) -> NDArray[np.int64]:
        """[P] int64: the point after each point of its ring, cyclically."""
        following = np.arange(1, len(self.points) + 1)
        following[self.starts + self.lengths - 1] = self.starts
        return following

    def chosen(self, rings: NDArray[np.int64]) -> "RingTable":
        """Return some of the rings, in the order given."""
        lengths = self.lengths[rings]
        return RingTable(self.points[ranges(self.starts[rings], lengths)], lengths)

    def filtered(self, kept: NDArray[np.bool_]) -> "RingTable":
        """Return the rings without the points that are not `kept` ([P] bool); each ring must keep one."""
        return RingTable(self.points[kept], np.add.reduceat(kept, self.starts, dtype=np.int64))

    def with_replaced(self, rings: NDArray[np.int64], others: "RingTable") -> "RingTable":
        """Return the table with `rings` ([C] int64) replaced by `others`, one by one."""
        order = np.arange(len(self.lengths))
        order[rings] = len(order) + np.arange(len(rings))
        lengths = np.concatenate([self.lengths, others.lengths])
        return RingTable(np.concatenate([self.points, others.points]), lengths).chosen(order)

    def separate(self) -> list[Points]:
        """Return each ring by itself."""
        return [self.points[start : start + length] for start, length in zip(self.starts, self.lengths, strict=True)]


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1, … , `lengths` of them for each start, concatenated."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def cleaned(table: RingTable, are_open: NDArray[np.bool_] | None = None) -> RingTable:
    """Return the rings without repeated neighbours and without closing vertices, as `polygon.clean`.

    Paths that `are_open` ([R] bool; default: none) may end where they begin.
    """
    if not len(table.lengths):
        return table
    moved = np.ones(len(table.points), bool)
    moved[1:] = (table.points[1:] != table.points[:-1]).any(axis=1)
    moved[table.starts] = True
    table = table.filtered(moved)
    ends = table.starts + table.lengths - 1
    kept = np.ones(len(table.points), bool)
    kept[ends] = (table.points[table.starts] != table.points[ends]).any(axis=1) | (table.lengths == 1)
    if are_open is not None:
        kept[ends[are_open]] = True
    return table.filtered(kept)


def enclose_area(table: RingTable) -> NDArray[np.bool_]:
    """Return for each ring whether its vertices don't all lie on one line ([R] bool)."""
    if not len(table.lengths):
        return np.zeros(0, bool)
    from_first = table.points - np.repeat(table.points[table.starts], table.lengths, axis=0)
    distance = np.abs(from_first).sum(axis=1)
    farthest = np.maximum.reduceat(distance, table.starts)
    places = np.where(distance == farthest[table.owners], np.arange(len(distance)), len(distance))
    x, y = from_first[np.minimum.reduceat(places, table.starts)].T
    across = x[table.owners] * from_first[:, 1] - y[table.owners] * from_first[:, 0]
    bent = np.logical_or.reduceat(np.abs(across) > 1e-9, table.starts)
    return np.asarray(bent & (table.lengths >= 3))


def extents(points: Points, starts: NDArray[np.int64]) -> tuple[Points, Points]:
    """Return the least and the largest x and y ([N, 2] each) of the points from each start to the next one."""
    if not len(starts):
        return np.empty((0, 2)), np.empty((0, 2))
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)


def areas(table: RingTable) -> NDArray[np.float64]:
    """Return the area of each ring ([R], square pixels), to rounding as `polygon.area`."""
    if not len(table.lengths):
        return np.zeros(0)
    (x, y), (next_x, next_y) = table.points.T, table.points[table.following].T
    return np.asarray(np.abs(np.add.reduceat(x * next_y - y * next_x, table.starts)) / 2)


def clip(table: RingTable, sizes: NDArray[np.int64]) -> tuple[RingTable, NDArray[np.bool_]]:
    """Return the rings clipped to their images, 0 to `sizes` ([R, 2] width, height), and which are left ([R] bool).

    Rings inside stay as they are; those without area inside are left out.
    Sutherland and Hodgman, "Reentrant polygon clipping" (1974): a ring that the border cuts in several parts stays one
    ring, its parts joined along the border, where nonzero filling adds nothing.
    """
    least, most = extents(table.points, table.starts)
    over = np.flatnonzero(((least < 0) | (most > sizes)).any(axis=1))
    alive = enclose_area(table)
    inner, cut = _clipped(table.chosen(over), sizes[over].astype(np.float64))
    alive[over] = cut
    return table.with_replaced(over[cut], inner).chosen(np.flatnonzero(alive)), alive


def _clipped(table: RingTable, sizes: Points) -> tuple[RingTable, NDArray[np.bool_]]:
    left = np.arange(len(table.lengths))
    nothing = np.zeros_like(sizes)
    for axis, bounds, sign in ((0, nothing, 1), (0, sizes, -1), (1, nothing, 1), (1, sizes, -1)):
        table, kept = _clipped_side(table, axis, bounds[left, axis], sign)
        left = left[kept]
    table = _without_spikes(cleaned(table), sizes[left])
    bent = enclose_area(table)
    alive = np.zeros(len(sizes), bool)
    alive[left[bent]] = True
    return table.chosen(np.flatnonzero(bent)), alive


def _without_spikes(table: RingTable, sizes: Points) -> RingTable:
    """Return the rings without what runs along a border of their image ([R, 2] sizes) and straight back.

    That encloses nothing, but would make the box around the ring larger.
    """
    rings = zip(table.separate(), sizes.tolist(), strict=True)
    spared = [_without_spikes_of_one(ring, *size) for ring, size in rings]
    lengths = np.array([len(ring) for ring in spared], np.int64)
    return RingTable(np.concatenate([np.empty((0, 2)), *spared]), lengths)


def _without_spikes_of_one(ring: Points, width: float, height: float) -> Points:
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
    """Return whether a path runs along a border of the image and straight back at `point`."""
    for axis, side in ((0, width), (1, height)):
        if before[axis] == point[axis] == after[axis] and point[axis] in (0, side):
            to_it, from_it = point[1 - axis] - before[1 - axis], after[1 - axis] - point[1 - axis]
            return (to_it > 0 > from_it) or (to_it < 0 < from_it)
    return False


def _clipped_side(
    table: RingTable, axis: int, bounds: NDArray[np.float64], sign: int
) -> tuple[RingTable, NDArray[np.bool_]]:
    """Return the rings clipped at one side of their images, and which of them keep three vertices ([R] bool)."""
    if not len(table.lengths):
        return table, np.zeros(0, bool)
    bound = bounds[table.owners]
    depth = sign * (table.points[:, axis] - bound)
    before, depth_before = table.points[table.previous], depth[table.previous]
    inside = depth >= 0
    crosses = inside != inside[table.previous]
    share = np.divide(depth_before, depth_before - depth, out=np.zeros_like(depth), where=crosses)
    crossing = before + (table.points - before) * share[:, None]
    crossing[:, axis] = bound
    pairs = np.stack([crossing, table.points], axis=1)
    lengths = np.add.reduceat(crosses.astype(np.int64) + inside, table.starts)
    kept = lengths >= 3
    held = kept[table.owners]
    points = pairs[np.stack([crosses & held, inside & held], axis=1)]
    return RingTable(points, lengths[kept]), kept


def ribbons(lines: RingTable, width: float) -> RingTable:
    """Return the ring around each open line (of two points or more, no repeated neighbours), `width` pixels wide."""
    starts, ends = lines.starts, lines.starts + lines.lengths - 1
    along = lines.points[lines.following] - lines.points
    norms = _norms(along)  # 0 where a line ends where it begins: from its end to its start there is no segment
    along /= np.where(norms, norms, 1)[:, None]
    normals = np.stack([-along[:, 1], along[:, 0]], axis=1)
    at_points = normals + normals[lines.previous]
    at_points /= np.maximum(_norms(at_points), 1e-9)[:, None]
    at_points[starts], at_points[ends] = normals[starts], normals[ends - 1]
    offset = at_points * width / 2
    back = (starts + ends)[lines.owners] - np.arange(len(lines.points))
    points = np.concatenate([lines.points + offset, (lines.points - offset)[back]])
    both = RingTable(points, np.concatenate([lines.lengths, lines.lengths]))
    order = np.arange(2 * len(starts)).reshape(2, -1).T.ravel()
    return RingTable(both.chosen(order).points, 2 * lines.lengths)


def _norms(vectors: Points) -> NDArray[np.float64]:
    """Return the lengths [P] of vectors [P, 2], by operations that every processor rounds alike."""
    x, y = vectors.T
    return np.asarray(np.sqrt(x * x + y * y), np.float64)
