"""From pixels to rings: the outlines of a mask along the borders of its pixels, so that filling them gives it back.

Holes are lost, since rings are united and VIA knows none.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.instances import Ring


def trace(mask: NDArray[np.bool_]) -> list[Ring]:
    """Return the outer outlines of a [height, width] bool mask as rings of whole-numbered corners, top ones first.

    Pixels that meet only at a corner belong to different rings. `raster.mask` of the result is the mask, holes filled.
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
    """Return x, y of the outline's corners in rows from the top, those where two pixels meet diagonally twice.

    The third array says for a doubled corner whether the pixels are the upper left and the lower right one.
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
