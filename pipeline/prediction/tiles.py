"""Large pictures and small objects: a picture is cut into overlapping tiles, and what is found in them joined.

The approach of sahi (Akyon et al. 2022, https://arxiv.org/abs/2202.06934).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes.rle import encode_box
from pipeline.evaluation.detections import Detection, Rle
from pipeline.geometry.polygon import Box
from pipeline.prediction import suppression

Pixels = NDArray[np.uint8]
Detect = Callable[[Sequence[Pixels]], Sequence[tuple[Detection, ...]]]
"""From pictures, [height, width, 3] uint8 RGB each, to what is found in each."""

OVERLAP = 0.2
"""Share of a tile's side that its neighbour has, too (sahi's default)."""
BORDER = 1.0
"""Pixels from a tile's border within which a detection may be cut by it."""


@dataclass(frozen=True)
class Tile:
    """A part of a picture, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int


def tiles(height: int, width: int, size: int, overlap: float) -> list[Tile]:
    """Return tiles of `size` × `size` pixels that cover a picture, row by row; neighbours share at least `overlap`.

    `overlap` is a share of a tile's side, from 0 to below 1. The last of a row or column is moved back, so that it lies
    inside; a picture no larger than a tile is one tile.
    """
    rows, columns = (_starts(side, size, overlap) for side in (height, width))
    return [Tile(left, top, min(left + size, width), min(top + size, height)) for top, left in product(rows, columns)]


def _starts(side: int, size: int, overlap: float) -> list[int]:
    if side <= size:
        return [0]
    step = max(1, round(size * (1 - overlap)))
    return [*range(0, side - size, step), side - size]


def detect(
    detect: Detect, pixels: Pixels, size: int, overlap: float = OVERLAP, whole: bool = True, agnostic: bool = False
) -> tuple[Detection, ...]:
    """Return what is found in a picture, [height, width, 3] uint8 RGB, and in its tiles, highest score first.

    With `whole`, the picture as a whole is looked at, too: things larger than a tile are found there alone. Of two
    detections of a class (of any with `agnostic`) that share half of the smaller or more, one is kept: rather one that
    no tile's border cuts, then the one of the higher score.
    """
    height, width = pixels.shape[:2]
    parts = tiles(height, width, size, overlap)
    if len(parts) > 1 and whole:
        parts = [Tile(0, 0, width, height), *parts]
    found = list(detect([pixels[part.top : part.bottom, part.left : part.right] for part in parts]))
    moved = [
        (placed(each, part, height, width), is_cut(each.rle.box, part, height, width))
        for part, of_part in zip(parts, found, strict=True)
        for each in of_part
    ]
    return suppression.suppressed(
        [each for each, _ in moved], agnostic=agnostic, measure="smaller", last=[cut for _, cut in moved]
    )


def placed(detection: Detection, tile: Tile, height: int, width: int) -> Detection:
    """Return a detection in a tile as one in the picture, of `height` and `width`."""
    if (tile.bottom - tile.top, tile.right - tile.left) == (height, width):
        return detection
    box, inside = detection.box, detection.rle.box
    left, top = int(inside.x), int(inside.y)
    right, bottom = left + int(inside.width), top + int(inside.height)
    around = (top + tile.top, left + tile.left, bottom + tile.top, right + tile.left)
    encoded = encode_box(detection.rle.pixels()[top:bottom, left:right], around, (height, width))
    moved = Box(box.x + tile.left, box.y + tile.top, box.width, box.height)
    return Detection(detection.category, detection.score, Rle.from_coco(encoded), moved)


def is_cut(box: Box, tile: Tile, height: int, width: int) -> bool:
    """Return whether a box in a tile reaches a border of the tile that is none of the picture."""
    return any(_cuts(box, tile, height, width))


def _cuts(box: Box, tile: Tile, height: int, width: int) -> Iterator[bool]:
    yield tile.left > 0 and box.x <= BORDER
    yield tile.top > 0 and box.y <= BORDER
    yield tile.right < width and box.x + box.width >= tile.right - tile.left - BORDER
    yield tile.bottom < height and box.y + box.height >= tile.bottom - tile.top - BORDER
