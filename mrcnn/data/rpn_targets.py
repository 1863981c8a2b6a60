"""Targets of the region proposal network: which anchors are objects, which are background, and how far off they are.

Anchors are a grid at every level and shape, so only those near an instance are looked at; see S. Ren et al.,
"Faster R-CNN" (2015), section 3.1.2. The anchors themselves come from `anchors`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes.metrics import compute_overlaps

Floats = NDArray[np.float64]

CROWD_OVERLAP = 0.001
"""Share of an anchor inside a crowd's box from which the anchor is no background."""


_ROUNDING, _ROUNDED_DOWN = 1e-9, 1 - 1e-9
"""Bounds on overlaps are widened by so much, so that rounding never leaves an anchor out."""


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors of one height and width on a grid of positions: a part of an image's anchors."""

    numbers: NDArray[np.int64]
    """[rows, columns]: positions of these anchors among all anchors of the image."""
    tops: Floats
    bottoms: Floats
    """[rows] each, pixels."""
    lefts: Floats
    rights: Floats
    """[columns] each, pixels."""

    def overlaps(
        self, box: Sequence[float], least: float = 0.0, of_anchor: bool = False
    ) -> tuple[NDArray[np.int64], Floats]:
        """Return the numbers [K] of anchors that touch `box` (y1, x1, y2, x2), and their overlap with it [K].

        The overlap is intersection over union, or with `of_anchor` intersection over the anchor's area. Anchors whose
        intersection over union must be below `least` may be left out: their height or width in common with the box is
        less than `least` times the larger of the two.
        """
        y1, x1, y2, x2 = box
        height, width = y2 - y1, x2 - x1
        share = least * _ROUNDED_DOWN
        high = share * max(height, self.bottoms[0] - self.tops[0])
        wide = share * max(width, self.rights[0] - self.lefts[0])
        rows = slice(bisect_right(self.bottoms, y1 + high), bisect_left(self.tops, y2 - high))
        columns = slice(bisect_right(self.rights, x1 + wide), bisect_left(self.lefts, x2 - wide))
        tops, bottoms, lefts, rights = self.tops[rows], self.bottoms[rows], self.lefts[columns], self.rights[columns]
        in_common = np.minimum(bottoms, y2) - np.maximum(tops, y1)
        shared = in_common[:, None] * (np.minimum(rights, x2) - np.maximum(lefts, x1))
        areas = (bottoms - tops)[:, None] * (rights - lefts)
        total = areas if of_anchor else areas + height * width - shared
        return self.numbers[rows, columns].ravel(), (shared / total).ravel()


@dataclass(frozen=True)
class AnchorIndex:
    """All anchors of an image size, sorted into grids once so that those near a box are found quickly."""

    anchors: Floats
    """[A, 4] (y1, x1, y2, x2) in pixels."""
    grids: tuple[AnchorGrid, ...]
    shapes: Floats
    """[grids, 2] (height, width) of the anchors of each grid."""
    origins: Floats
    """[grids, 2] (top, left) of the first anchor of each grid."""
    steps: Floats
    """[grids, 2] pixels from row to row and from column to column; NaN where a grid is not regular."""

    @classmethod
    def of(cls, anchors: NDArray[Any]) -> "AnchorIndex":
        """Sort `anchors` [A, 4]; those that form no grid of rows and columns become grids of one."""
        anchors = np.asarray(anchors, np.float64)
        shapes = np.round(anchors[:, 2:] - anchors[:, :2], 6)
        order = np.lexsort((shapes[:, 1], shapes[:, 0]))
        changes = np.flatnonzero((np.diff(shapes[order], axis=0) != 0).any(axis=1)) + 1
        groups = np.split(order, changes) if len(order) else []
        grids = tuple(grid for group in groups for grid in _grids(anchors, np.sort(group)))
        sides = [(grid.bottoms[0] - grid.tops[0], grid.rights[0] - grid.lefts[0]) for grid in grids]
        origins = [(grid.tops[0], grid.lefts[0]) for grid in grids]
        steps = [(_step(grid.tops), _step(grid.lefts)) for grid in grids]
        return cls(anchors, grids, *(np.array(pairs, np.float64).reshape(-1, 2) for pairs in (sides, origins, steps)))

    @cached_property
    def _numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """All grids' numbers in one row, where each grid begins in it, and rows and columns of each grid [grids, 2]."""
        counts = np.array([grid.numbers.shape for grid in self.grids], np.int64).reshape(-1, 2)
        begins = np.cumsum(counts.prod(axis=1)) - counts.prod(axis=1)
        return np.concatenate([grid.numbers.ravel() for grid in self.grids]), begins, counts

    def near(self, boxes: Floats, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Return pairs of a box and an anchor that overlap.

        Args:
            boxes: [N, 4] (y1, x1, y2, x2) in pixels, none of them empty.
            least: intersections over union from here on are all found; of lesser ones, the best of each box.

        Returns:
            box [K] and anchor [K] int64, and their intersection over union [K].
        """
        sizes = boxes[:, None, 2:] - boxes[:, None, :2]
        shared = np.prod(np.minimum(self.shapes, sizes), axis=2)
        bounds = shared / (np.prod(self.shapes, axis=1) + np.prod(sizes, axis=2) - shared) + _ROUNDING
        regular = not np.isnan(self.steps).any()
        found = [self._near_regular(boxes, bounds, least)] if regular and len(boxes) else []
        best = np.zeros(len(boxes))
        for box, _, overlaps in found:
            np.maximum.at(best, box, overlaps)
        for number in np.flatnonzero(best < least):
            anchors, overlaps = self._near_one(boxes[number].tolist(), bounds[number], least)
            found.append((np.full(len(anchors), number), anchors, overlaps))
        parts = zip(*found, strict=True) if found else ([np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)])
        box, anchor, overlap = (np.concatenate(part) for part in parts)
        return box, anchor, overlap

    def _near_regular(
        self, boxes: Floats, bounds: Floats, least: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Box, anchor [P] int64 and overlap [P] of the pairs that overlap by `least`; lesser ones may miss.

        Looks through all grids that can, by `bounds` [N, grids], for all boxes [N, 4] in pixels at once.
        """
        box, grid = np.nonzero(bounds >= least)
        margin = least * _ROUNDED_DOWN * np.maximum(boxes[box, 2:] - boxes[box, :2], self.shapes[grid])
        low = (boxes[box, :2] + margin - self.shapes[grid] - self.origins[grid]) / self.steps[grid]
        high = (boxes[box, 2:] - margin - self.origins[grid]) / self.steps[grid]
        numbers, begins, counts = self._numbers
        first = np.clip(np.floor(low - _ROUNDING).astype(np.int64) + 1, 0, counts[grid])
        spans = np.maximum(np.clip(np.ceil(high + _ROUNDING).astype(np.int64), 0, counts[grid]) - first, 0)
        sizes = spans.prod(axis=1)
        pair = np.repeat(np.arange(len(box)), sizes)
        row, column = np.divmod(np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes), spans[pair, 1])
        place = (first[pair, 0] + row) * counts[grid[pair], 1] + first[pair, 1] + column
        anchor = numbers[begins[grid[pair]] + place]
        return box[pair], anchor, _overlaps(self.anchors[anchor], boxes[box[pair]])

    def _near_one(self, box: list[float], bounds: Floats, least: float) -> tuple[NDArray[np.int64], Floats]:
        """Anchors [P] int64 that overlap a box (y1, x1, y2, x2) in pixels, and by how much [P] float64.

        Looks through the grids, the most promising first, until `bounds` [grids] on the overlap are too low to matter.
        """
        best, found = 0.0, [(np.zeros(0, np.int64), np.zeros(0))]
        for number in np.argsort(-bounds):
            enough = min(least, best)
            if bounds[number] < enough:
                break
            anchors, overlaps = self.grids[number].overlaps(box, enough)
            if len(anchors):
                best = max(best, float(overlaps.max()))
                found.append((anchors, overlaps))
        anchors, overlaps = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return anchors, overlaps


def _step(places: Floats) -> float:
    """Return the distance between `places`, 1 for a single one, NaN where distances differ."""
    steps = np.diff(places)
    if not len(steps):
        return 1.0
    return float(steps[0]) if np.allclose(steps, steps[0], rtol=0, atol=1e-9) else float("nan")


def _overlaps(anchors: Floats, boxes: Floats) -> Floats:
    """Return the intersection over union [K] of each of anchors [K, 4] with its box of boxes [K, 4], none empty."""
    y1, x1 = np.maximum(anchors[:, 0], boxes[:, 0]), np.maximum(anchors[:, 1], boxes[:, 1])
    y2, x2 = np.minimum(anchors[:, 2], boxes[:, 2]), np.minimum(anchors[:, 3], boxes[:, 3])
    shared = np.maximum(y2 - y1, 0) * np.maximum(x2 - x1, 0)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (anchors, boxes)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def _grids(anchors: Floats, numbers: NDArray[np.int64]) -> Iterator[AnchorGrid]:
    """Yield the anchors `numbers`, all of one shape, as one grid where they are one, else each alone."""
    boxes = anchors[numbers]
    columns = int((boxes[:, 0] == boxes[0, 0]).sum())
    grid = boxes.reshape(-1, columns, 4) if len(boxes) % columns == 0 else boxes[:0].reshape(0, 1, 4)
    aligned = (
        len(grid) and (grid[:, :, 0::2] == grid[:, :1, 0::2]).all() and (grid[:, :, 1::2] == grid[:1, :, 1::2]).all()
    )
    if aligned and (np.diff(grid[:, 0, 0]) > 0).all() and (np.diff(grid[0, :, 1]) > 0).all():
        yield AnchorGrid(numbers.reshape(-1, columns), *grid[:, 0, 0::2].T.copy(), *grid[0, :, 1::2].T.copy())
        return
    for number in numbers:
        y1, x1, y2, x2 = anchors[number][:, None]
        yield AnchorGrid(np.array([[number]]), y1, y2, x1, x2)


@dataclass(frozen=True)
class Matches:
    """How anchors fit the instances of an image."""

    positive: NDArray[np.int64]
    """[P] numbers of the anchors that stand for an instance, ascending."""
    box: NDArray[np.int64]
    """[P] the instance that each of them overlaps most."""
    not_background: NDArray[np.bool_]
    """[A] True for anchors that are positive, overlap an instance too much, or lie in a crowd."""


def match_anchors(
    index: AnchorIndex, boxes: Floats, crowds: Floats, positive_iou: float, negative_iou: float
) -> Matches:
    """Match anchors with instances `boxes` [N, 4] and `crowds` [M, 4], (y1, x1, y2, x2) in pixels.

    An anchor is positive from `positive_iou` on, or where no anchor overlaps an instance more (ties included); it is
    background below `negative_iou` with all instances, and outside of crowds. An instance that no anchor touches has
    no positive anchor.
    """
    count = len(index.anchors)
    positive, not_background = np.zeros(count, bool), np.zeros(count, bool)
    visible = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    box, anchor, overlap = index.near(visible, negative_iou)
    best = np.zeros(len(visible))
    np.maximum.at(best, box, overlap)
    positive[anchor[(overlap >= positive_iou) | ((overlap == best[box]) & (overlap > 0))]] = True
    not_background[anchor[overlap >= negative_iou]] = True
    not_background |= positive
    for crowd in crowds.tolist():
        for grid in index.grids:
            inside, share = grid.overlaps(crowd, of_anchor=True)
            not_background[inside[share >= CROWD_OVERLAP]] = True
    numbers = np.flatnonzero(positive)
    return Matches(numbers, _closest(index.anchors[numbers], boxes), not_background)


def _closest(anchors: Floats, boxes: Floats) -> NDArray[np.int64]:
    """Return for each of anchors [P, 4] the number of the box of boxes [N, 4] that overlaps it most, [P] int64."""
    if not len(anchors):
        return np.zeros(0, np.int64)
    return np.argmax(compute_overlaps(anchors, boxes), axis=1)


def build_rpn_targets(
    image_shape: Any,
    anchors: NDArray[Any] | AnchorIndex,
    gt_class_ids: NDArray[Any],
    gt_boxes: NDArray[Any],
    config: Any,
    rng: np.random.Generator | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Choose the anchors that the region proposal network learns from.

    Args:
        image_shape: (H, W, C) of the input; kept for the original's signature.
        anchors: [A, 4] (y1, x1, y2, x2) in pixels, or an index of them, which is faster.
        gt_class_ids: [N] int; negative: a crowd, where anchors are neither objects nor background; 0: padding.
        gt_boxes: [N, 4] (y1, x1, y2, x2) in pixels.
        config: RPN_TRAIN_ANCHORS_PER_IMAGE, RPN_POSITIVE_IOU, RPN_NEGATIVE_IOU, RPN_BBOX_STD_DEV are read.
        rng: chooses among too many; without it, NumPy's global state seeds one.

    Returns:
        rpn_match [A] int32: 1 object, -1 background, 0 neither. rpn_bbox [RPN_TRAIN_ANCHORS_PER_IMAGE, 4] float32:
        (dy, dx, log dh, log dw) over RPN_BBOX_STD_DEV for each object anchor in ascending order, then zeros.
    """
    rng = rng or np.random.default_rng(np.random.randint(2**31))
    index = anchors if isinstance(anchors, AnchorIndex) else AnchorIndex.of(anchors)
    class_ids, boxes = np.asarray(gt_class_ids), np.asarray(gt_boxes, np.float64)
    found = match_anchors(
        index, boxes[class_ids > 0], boxes[class_ids < 0], config.RPN_POSITIVE_IOU, config.RPN_NEGATIVE_IOU
    )
    wanted = config.RPN_TRAIN_ANCHORS_PER_IMAGE
    kept = np.arange(len(found.positive))
    if len(kept) > wanted // 2:
        kept = np.sort(rng.choice(kept, wanted // 2, replace=False))
    positive = found.positive[kept]
    match = np.zeros(len(index.anchors), np.int32)
    match[positive] = 1
    match[_some_background(found.not_background, wanted - len(positive), rng)] = -1
    bbox = np.zeros((wanted, 4), np.float32)
    targets = boxes[class_ids > 0][found.box[kept]]
    bbox[: len(positive)] = _deltas(index.anchors[positive], targets) / np.asarray(config.RPN_BBOX_STD_DEV)
    return match, bbox


def _some_background(taken: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `count` numbers, or all where there are fewer, of those not `taken`, any set of them equally likely."""
    if len(taken) < 8 * count or taken.mean() > 0.5:
        free = np.flatnonzero(~taken)
        return free if len(free) <= count else rng.choice(free, count, replace=False)
    chosen = np.zeros(0, np.int64)
    while len(chosen) < count:
        drawn = rng.integers(0, len(taken), 2 * count)
        chosen = np.concatenate([chosen, drawn[~taken[drawn]]])
        _, first = np.unique(chosen, return_index=True)
        chosen = chosen[np.sort(first)]
    return chosen[:count]


def _deltas(anchors: Floats, targets: Floats) -> Floats:
    """Return (dy, dx, log dh, log dw) [P, 4] from anchors [P, 4] to their targets [P, 4]."""
    size, wanted = anchors[:, 2:] - anchors[:, :2], targets[:, 2:] - targets[:, :2]
    shift = (targets[:, :2] + 0.5 * wanted - anchors[:, :2] - 0.5 * size) / size
    return np.concatenate([shift, np.log(wanted / size)], axis=1)
