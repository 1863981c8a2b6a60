"""Targets of the region proposal network: labels of anchors (object, background) and deltas to the ground truth.

S. Ren et al., "Faster R-CNN" (2015), section 3.1.2. Since the anchors of a level and shape form a grid, IoU is computed
only for anchors near an instance.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.shapes.metrics import compute_overlaps

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

CROWD_OVERLAP = 0.001
"""An anchor with at least this fraction of its area in a crowd's box is not background."""

_ROUNDING, _ROUNDED_DOWN = 1e-9, 1 - 1e-9
"""Tolerances of bounds on overlaps, so that rounding never excludes an anchor."""


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors of one height and width at a grid of positions: a subset of an image's anchors."""

    numbers: Indices
    """[rows, columns] indices of these anchors among all anchors of the image."""
    tops: Floats
    bottoms: Floats
    """[rows] each, pixels."""
    lefts: Floats
    rights: Floats
    """[columns] each, pixels."""

    def overlaps(self, box: Sequence[float], least: float = 0.0, of_anchor: bool = False) -> tuple[Indices, Floats]:
        """Return the indices [K] of anchors that intersect `box` (y1, x1, y2, x2), and their overlaps with it [K].

        The overlap is IoU, or with `of_anchor` intersection over the anchor's area. Anchors with IoU below `least` may
        be missing: those of which the height or width in common with the box is less than `least` times the larger one.
        """
        y1, x1, y2, x2 = box
        height, width = y2 - y1, x2 - x1
        fraction = least * _ROUNDED_DOWN
        min_height = fraction * max(height, self.bottoms[0] - self.tops[0])
        min_width = fraction * max(width, self.rights[0] - self.lefts[0])
        rows = slice(bisect_right(self.bottoms, y1 + min_height), bisect_left(self.tops, y2 - min_height))
        columns = slice(bisect_right(self.rights, x1 + min_width), bisect_left(self.lefts, x2 - min_width))
        tops, bottoms, lefts, rights = self.tops[rows], self.bottoms[rows], self.lefts[columns], self.rights[columns]
        heights = np.minimum(bottoms, y2) - np.maximum(tops, y1)
        shared = heights[:, None] * (np.minimum(rights, x2) - np.maximum(lefts, x1))
        areas = (bottoms - tops)[:, None] * (rights - lefts)
        total = areas if of_anchor else areas + height * width - shared
        return self.numbers[rows, columns].ravel(), (shared / total).ravel()


@dataclass(frozen=True)
class AnchorIndex:
    """All anchors of an image size, sorted into grids, for fast queries of anchors near a box."""

    anchors: Floats
    """[A, 4] (y1, x1, y2, x2) in pixels."""
    grids: tuple[AnchorGrid, ...]
    shapes: Floats
    """[grids, 2] (height, width) of the anchors of each grid."""
    origins: Floats
    """[grids, 2] (top, left) of the first anchor of each grid."""
    steps: Floats
    """[grids, 2] distances in pixels of rows and of columns; NaN for grids that are not regular."""

    @classmethod
    def of(cls, anchors: NDArray[Any]) -> "AnchorIndex":
        """Sort `anchors` [A, 4]; each of those that form no grid of rows and columns becomes a grid of its own."""
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
    def _numbers(self) -> tuple[Indices, Indices, Indices]:
        """The indices of all grids concatenated, the start of each grid, and its rows and columns [grids, 2]."""
        counts = np.array([grid.numbers.shape for grid in self.grids], np.int64).reshape(-1, 2)
        starts = np.cumsum(counts.prod(axis=1)) - counts.prod(axis=1)
        return np.concatenate([grid.numbers.ravel() for grid in self.grids]), starts, counts

    def near(self, boxes: Floats, least: float) -> tuple[Indices, Indices, Floats]:
        """Return overlapping pairs of a box and an anchor: all with IoU of at least `least`, and the best of each box.

        Args:
            boxes: [N, 4] (y1, x1, y2, x2) in pixels, not empty.
            least: the lowest IoU of which all pairs are returned.

        Returns:
            indices of box [K] and anchor [K] int64, and their IoU [K].
        """
        sizes = boxes[:, None, 2:] - boxes[:, None, :2]
        shared = np.prod(np.minimum(self.shapes, sizes), axis=2)
        bounds = shared / (np.prod(self.shapes, axis=1) + np.prod(sizes, axis=2) - shared) + _ROUNDING
        is_regular = not np.isnan(self.steps).any()
        pairs = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        if is_regular and len(boxes):
            pairs.append(self._near_regular(boxes, bounds, least))
        best = np.zeros(len(boxes))
        np.maximum.at(best, pairs[-1][0], pairs[-1][2])
        for number in np.flatnonzero(best < least):
            anchors, overlaps = self._near_one(boxes[number].tolist(), bounds[number], least)
            pairs.append((np.full(len(anchors), number), anchors, overlaps))
        box, anchor, overlap = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return box, anchor, overlap

    def _near_regular(self, boxes: Floats, bounds: Floats, least: float) -> tuple[Indices, Indices, Floats]:
        """Return box [P], anchor [P] and IoU [P] of the pairs with IoU of at least `least`; others may be missing.

        For all boxes [N, 4] in pixels at once; grids are excluded by upper bounds [N, grids] of the IoU.
        """
        box, grid = np.nonzero(bounds >= least)
        margin = least * _ROUNDED_DOWN * np.maximum(boxes[box, 2:] - boxes[box, :2], self.shapes[grid])
        low = (boxes[box, :2] + margin - self.shapes[grid] - self.origins[grid]) / self.steps[grid]
        high = (boxes[box, 2:] - margin - self.origins[grid]) / self.steps[grid]
        numbers, starts, counts = self._numbers
        first = np.clip(np.floor(low - _ROUNDING).astype(np.int64) + 1, 0, counts[grid])
        spans = np.maximum(np.clip(np.ceil(high + _ROUNDING).astype(np.int64), 0, counts[grid]) - first, 0)
        sizes = spans.prod(axis=1)
        pair = np.repeat(np.arange(len(box)), sizes)
        row, column = np.divmod(np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes), spans[pair, 1])
        index = (first[pair, 0] + row) * counts[grid[pair], 1] + first[pair, 1] + column
        anchor = numbers[starts[grid[pair]] + index]
        return box[pair], anchor, _overlaps(self.anchors[anchor], boxes[box[pair]])

    def _near_one(self, box: list[float], bounds: Floats, least: float) -> tuple[Indices, Floats]:
        """Return indices [P] of anchors that overlap a box (y1, x1, y2, x2) in pixels, and their IoU [P].

        Grids are searched in the order of their upper bounds [grids] of the IoU, until these are too low.
        """
        best, pairs = 0.0, [(np.zeros(0, np.int64), np.zeros(0))]
        for number in np.argsort(-bounds):
            limit = min(least, best)
            if bounds[number] < limit:
                break
            anchors, overlaps = self.grids[number].overlaps(box, limit)
            if len(anchors):
                best = max(best, float(overlaps.max()))
                pairs.append((anchors, overlaps))
        anchors, overlaps = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        return anchors, overlaps


def _step(positions: Floats) -> float:
    """Return the distance between `positions`, 1 for a single one, NaN if distances differ."""
    steps = np.diff(positions)
    if not len(steps):
        return 1.0
    return float(steps[0]) if np.allclose(steps, steps[0], rtol=0, atol=1e-9) else float("nan")


def _overlaps(anchors: Floats, boxes: Floats) -> Floats:
    """Return the IoU [K] of anchors [K, 4] with boxes [K, 4], pair by pair, none empty."""
    y1, x1 = np.maximum(anchors[:, 0], boxes[:, 0]), np.maximum(anchors[:, 1], boxes[:, 1])
    y2, x2 = np.minimum(anchors[:, 2], boxes[:, 2]), np.minimum(anchors[:, 3], boxes[:, 3])
    shared = np.maximum(y2 - y1, 0) * np.maximum(x2 - x1, 0)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (anchors, boxes)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def _grids(anchors: Floats, numbers: Indices) -> Iterator[AnchorGrid]:
    """Yield the anchors with indices `numbers`, all of one shape, as one grid if they form one, else each alone."""
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
    """Matches of anchors with the instances of an image."""

    positive: Indices
    """[P] indices of the positive anchors, ascending."""
    box: Indices
    """[P] index of the instance with the highest IoU."""
    not_background: NDArray[np.bool_]
    """[A] True for anchors that are positive, have a high IoU with an instance, or are in a crowd."""


def match_anchors(
    index: AnchorIndex, boxes: Floats, crowds: Floats, positive_iou: float, negative_iou: float
) -> Matches:
    """Match anchors with instances `boxes` [N, 4] and `crowds` [M, 4], (y1, x1, y2, x2) in pixels.

    An anchor is positive if its IoU with an instance is at least `positive_iou` or the highest of all anchors (ties
    included); it is background if it is below `negative_iou` for all instances, and outside of crowds. An instance
    that no anchor intersects has no positive anchor.
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


def _closest(anchors: Floats, boxes: Floats) -> Indices:
    """Return, for each of anchors [P, 4], the index [P] of the box of boxes [N, 4] with the highest IoU."""
    if not len(anchors):
        return np.zeros(0, np.int64)
    return np.argmax(compute_overlaps(anchors, boxes), axis=1)


def build_rpn_targets(
    image_shape: Any,
    anchors: NDArray[Any] | AnchorIndex,
    gt_class_ids: NDArray[Any],
    gt_boxes: NDArray[Any],
    config: Config,
    rng: np.random.Generator | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return labels and deltas of a random sample of the anchors, which trains the region proposal network.

    Args:
        image_shape: unused; part of matterport's signature.
        anchors: [A, 4] (y1, x1, y2, x2) in pixels, or an index of them, which is faster.
        gt_class_ids: [N] int; negative: a crowd, in which anchors are neither objects nor background; 0: padding.
        gt_boxes: [N, 4] (y1, x1, y2, x2) in pixels.
        config: RPN_TRAIN_ANCHORS_PER_IMAGE, RPN_POSITIVE_IOU, RPN_NEGATIVE_IOU, RPN_BBOX_STD_DEV are used.
        rng: for sampling; default: a generator seeded by NumPy's global random state.

    Returns:
        rpn_match [A] int32: 1 object, -1 background, 0 neither. rpn_bbox [RPN_TRAIN_ANCHORS_PER_IMAGE, 4] float32:
        (dy, dx, log dh, log dw) over RPN_BBOX_STD_DEV for each object anchor in ascending order, then zeros.
    """
    rng = rng or np.random.default_rng(np.random.randint(2**31))
    index = anchors if isinstance(anchors, AnchorIndex) else AnchorIndex.of(anchors)
    class_ids, boxes = np.asarray(gt_class_ids), np.asarray(gt_boxes, np.float64)
    matches = match_anchors(
        index, boxes[class_ids > 0], boxes[class_ids < 0], config.RPN_POSITIVE_IOU, config.RPN_NEGATIVE_IOU
    )
    count = config.RPN_TRAIN_ANCHORS_PER_IMAGE
    kept = np.arange(len(matches.positive))
    if len(kept) > count // 2:
        kept = np.sort(rng.choice(kept, count // 2, replace=False))
    positive = matches.positive[kept]
    match = np.zeros(len(index.anchors), np.int32)
    match[positive] = 1
    match[_sample_background(matches.not_background, count - len(positive), rng)] = -1
    bbox = np.zeros((count, 4), np.float32)
    targets = boxes[class_ids > 0][matches.box[kept]]
    bbox[: len(positive)] = _deltas(index.anchors[positive], targets) / np.asarray(config.RPN_BBOX_STD_DEV)
    return match, bbox


def _sample_background(not_background: NDArray[np.bool_], count: int, rng: np.random.Generator) -> Indices:
    """Return up to `count` random indices of background anchors, without replacement."""
    total = len(not_background)
    if total < 8 * count or not_background.mean() > 0.5:
        background = np.flatnonzero(~not_background)
        return background if len(background) <= count else rng.choice(background, count, replace=False)
    sample = np.zeros(0, np.int64)
    while len(sample) < count:
        candidates = rng.integers(0, total, 2 * count)
        sample = np.concatenate([sample, candidates[~not_background[candidates]]])
        _, first = np.unique(sample, return_index=True)
        sample = sample[np.sort(first)]
    return sample[:count]


def _deltas(anchors: Floats, targets: Floats) -> Floats:
    """Return (dy, dx, log dh, log dw) [P, 4] from anchors [P, 4] to their targets [P, 4]."""
    size, target_size = anchors[:, 2:] - anchors[:, :2], targets[:, 2:] - targets[:, :2]
    shift = (targets[:, :2] + 0.5 * target_size - anchors[:, :2] - 0.5 * size) / size
    return np.concatenate([shift, np.log(target_size / size)], axis=1)
