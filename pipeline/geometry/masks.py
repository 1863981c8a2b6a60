"""Masks to rings along the borders of their pixels, and COCO run lengths to masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.files.image_header import MOST_PIXELS
from pipeline.geometry.polygon import Ring


def trace(mask: NDArray[np.bool_]) -> list[Ring]:
    """Return the outer outlines of a [height, width] bool mask as rings of whole-numbered corners, top ones first.

    Pixels that meet only at a corner belong to different rings. Filling the rings gives the mask with its holes filled.
    """
    x, y, alike = _corners(mask)
    along_row, along_column = _neighbours(x, y, alike)
    rings, seen = [], np.zeros(len(x), bool)
    for start in range(len(x)):
        if seen[start]:
            continue
        corners = _follow(start, along_row, along_column)
        seen[corners] = True
        if mask[y[start], x[start]]:
            rings.append(np.stack([x[corners], y[corners]], axis=1).astype(np.float64))
    return rings


def _corners(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return x, y of the outline's corners in rows from the top, twice those where two pixels meet diagonally.

    The third array is whether the upper left pixel is set: at a doubled corner, then the lower right one is, too.
    """
    padded = np.pad(mask, 1)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    odd = upper_left ^ upper_right ^ lower_left ^ lower_right
    diagonal = (upper_left == lower_right) & (upper_right == lower_left) & (upper_left != upper_right)
    y, x = np.nonzero(odd | diagonal)
    times = 1 + diagonal[y, x].astype(np.int64)
    y, x = np.repeat(y, times), np.repeat(x, times)
    return x, y, upper_left[y, x]


def _neighbours(
    x: NDArray[np.int64], y: NDArray[np.int64], alike: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each corner the one at the other end of its level edge and of its upright edge.

    Along a row the corners come in pairs, and along a column too; of a doubled corner the first ends the edge from the
    left and the second begins the one to the right, and which of them has the edge from above depends on the pixels.
    """
    count = len(x)
    along_row = np.arange(count) ^ 1
    second = np.zeros(count, np.int64)
    if count:
        doubled = (x[1:] == x[:-1]) & (y[1:] == y[:-1])
        second[1:][doubled] = 1
        first_of_two = np.append(doubled, False)
        swapped = ~alike
        second[first_of_two & swapped] = 1
        second[1:][doubled & swapped[1:]] = 0
    order = np.lexsort((second, y, x))
    along_column = np.empty(count, np.int64)
    along_column[order[0::2]], along_column[order[1::2]] = order[1::2], order[0::2]
    return along_row, along_column


def _follow(start: int, along_row: NDArray[np.int64], along_column: NDArray[np.int64]) -> list[int]:
    corners, at = [], start
    while True:
        across = int(along_row[at])
        corners += [at, across]
        at = int(along_column[across])
        if at == start:
            return corners


def decode(counts: str | bytes | Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Return the [height, width] bool mask of COCO run lengths (down the columns, starting with unset pixels).

    Raises ValueError when the runs don't add up to the image, or the image is larger than `MOST_PIXELS`.
    """
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise ValueError(f"run lengths of a mask of {height} by {width} pixels")
    if isinstance(counts, str):
        counts = counts.encode("ascii")
    runs = np.array(_decompress(counts) if isinstance(counts, bytes) else list(counts), np.int64)
    if runs.ndim != 1 or (runs < 0).any() or (runs > height * width).any() or runs.sum() != height * width:
        raise ValueError("run lengths don't add up to the mask's size")
    values = np.arange(len(runs)) % 2 == 1
    return np.asarray(np.repeat(values, runs).reshape(width, height).T)


def _decompress(text: bytes) -> list[int]:
    """Return the counts: five bits a character, lowest first, each from the third on as a difference to two before."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("characters that are no run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths are cut short")
    return runs
