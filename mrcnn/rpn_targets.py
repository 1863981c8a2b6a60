"""Targets of the region proposal network: which anchors are objects, which are background, and how far off they are.

Anchors are a grid at every level and shape, so only those near an instance are looked at; see S. Ren et al.,
"Faster R-CNN" (2015), section 3.1.2. The anchors themselves come from `anchors`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CROWD_OVERLAP = 0.001
"""Share of an anchor inside a crowd's box from which the anchor is no background."""


_ROUNDING = 1e-9
"""Added to a bound on an overlap, so that rounding never puts it below the overlap."""


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

    def overlaps(self, box: Floats, of_anchor: bool = False) -> tuple[NDArray[np.int64], Floats]:
        """Return the numbers [K] of the anchors that touch `box` (y1, x1, y2, x2), and their overlap with it [K].

        The overlap is intersection over union, or with `of_anchor` intersection over the anchor's area.
        """
        rows = slice(bisect_right(self.bottoms, box[0]), bisect_left(self.tops, box[2]))
        columns = slice(bisect_right(self.rights, box[1]), bisect_left(self.lefts, box[3]))
        tops, bottoms, lefts, rights = self.tops[rows], self.bottoms[rows], self.lefts[columns], self.rights[columns]
        high = np.minimum(bottoms, box[2]) - np.maximum(tops, box[0])
        wide = np.minimum(rights, box[3]) - np.maximum(lefts, box[1])
        shared, areas = high[:, None] * wide, (bottoms - tops)[:, None] * (rights - lefts)
        total = areas if of_anchor else areas + (box[2] - box[0]) * (box[3] - box[1]) - shared
        return self.numbers[rows, columns].ravel(), (shared / total).ravel()


@dataclass(frozen=True)
class AnchorIndex:
    """All anchors of an image size, sorted into grids once so that those near a box are found quickly."""

    anchors: Floats
    """[A, 4] (y1, x1, y2, x2) in pixels."""
    grids: tuple[AnchorGrid, ...]
    shapes: Floats
    """[grids, 2] (height, width) of the anchors of each grid."""

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
        return cls(anchors, grids, np.array(sides, np.float64).reshape(-1, 2))

    def near(self, box: Floats, least: float) -> Iterator[tuple[NDArray[np.int64], Floats]]:
        """Yield (numbers [K], overlaps [K]) for the grids that can hold an anchor overlapping `box` by `least`.

        The best anchor of the box is among those yielded, however small its overlap.
        """
        size = box[2:] - box[:2]
        shared = np.prod(np.minimum(self.shapes, size), axis=1)
        bounds = shared / (np.prod(self.shapes, axis=1) + np.prod(size) - shared) + _ROUNDING
        best = 0.0
        for number in np.argsort(-bounds, kind="stable"):
            if bounds[number] < min(least, best):
                return
            anchors, overlaps = self.grids[number].overlaps(box)
            if len(anchors):
                best = max(best, float(overlaps.max()))
                yield anchors, overlaps


def _grids(anchors: Floats, numbers: NDArray[np.int64]) -> Iterator[AnchorGrid]:
    """Yield the anchors `numbers`, all of one shape, as one grid where they are one, else each alone."""
    boxes = anchors[numbers]
    columns = int((boxes[:, 0] == boxes[0, 0]).sum())
    grid = boxes.reshape(-1, columns, 4) if len(boxes) % columns == 0 else boxes[:0].reshape(0, 1, 4)
    aligned = len(grid) and (grid[:, :, 0::2] == grid[:, :1, 0::2]).all() and (grid[:, :, 1::2] == grid[:1, :, 1::2]).all()
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
    overlap, closest = np.zeros(count), np.zeros(count, np.int64)
    positive = np.zeros(count, bool)
    for number, box in enumerate(boxes):
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        found = list(index.near(box, negative_iou))
        if not found:
            continue
        anchors, shared = (np.concatenate(parts) for parts in zip(*found, strict=True))
        positive[anchors[shared == shared.max()]] = True
        better = shared > overlap[anchors]
        overlap[anchors[better]], closest[anchors[better]] = shared[better], number
    positive |= overlap >= positive_iou
    not_background = positive | (overlap >= negative_iou)
    for box in crowds:
        for grid in index.grids:
            anchors, shared = grid.overlaps(box, of_anchor=True)
            not_background[anchors[shared >= CROWD_OVERLAP]] = True
    numbers = np.flatnonzero(positive)
    return Matches(numbers, closest[numbers], not_background)


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
    rng = rng or np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002  (old scripts seed the global state)
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
    if len(taken) < 8 * count or taken.mean() > 0.5:  # noqa: PLR2004
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
