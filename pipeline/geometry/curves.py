"""BDD's poly2d (vertices with a letter each) to plain vertices: cubic Beziers flattened within a tolerance.

`flatten` says what the letters mean; closing, cleaning and clipping of rings are in `polygon`. Only sums,
products and square roots are used, which every processor rounds alike: numpy's powers differ in the last bit between
processors, and the same labels would give other bytes.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_SEGMENTS = 4096
"""Lines a curve at most, however small the tolerance."""


def flatten(vertices: ArrayLike, types: str | None, closed: bool, tolerance: float) -> NDArray[np.float64]:
    """Return the path as [K, 2] float64 vertices, (x, y) in pixels, every curve within `tolerance` pixels.

    `types` has a letter a vertex: L ends a line; C begins a cubic Bezier and takes this vertex and the next two as
    first control, second control and end, whatever letters those two carry. The first vertex is always the start.
    Where a `closed` path ends in two controls, the curve ends at the start; a control that has no partner is a corner.
    Without `types` all are lines. Raises ValueError when letters and vertices differ in number or a letter is unknown.
    """
    points = np.asarray(vertices, np.float64).reshape(-1, 2)
    if types is None or "C" not in types:
        check(len(points), types)
        return points
    check(len(points), types)
    pieces, at = [points[:1]], 1
    while at < len(points):
        end = points[at + 2 : at + 3] if at + 2 < len(points) else points[: int(closed and at + 2 == len(points))]
        if types[at] == "C" and len(end):
            pieces.append(curve(points[at - 1], points[at], points[at + 1], end[0], tolerance))
            at += 3
        else:
            pieces.append(points[at : at + 1])
            at += 1
    return np.concatenate(pieces)


def curve(
    start: NDArray[np.float64],
    control1: NDArray[np.float64],
    control2: NDArray[np.float64],
    end: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Return [K, 2] points on the cubic Bezier after its start, so near that chords stay within `tolerance`.

    A chord over 1/n of the parameter errs by at most |B''| / (8 n^2), and |B''| is at most 6 times the larger second
    difference of the four points (de Boor, A Practical Guide to Splines).
    """
    bend = max(_length(start - 2 * control1 + control2), _length(control1 - 2 * control2 + end))
    segments = min(max(math.ceil(math.sqrt(0.75 * bend / tolerance)), 1), MOST_SEGMENTS)
    t = np.arange(1, segments + 1)[:, None] / segments
    s = 1 - t
    points = s * s * s * start + 3 * s * s * t * control1 + 3 * s * t * t * control2 + t * t * t * end
    points[-1] = end
    return np.asarray(points, np.float64)


def _length(vector: NDArray[np.float64]) -> float:
    x, y = vector.tolist()
    return math.sqrt(x * x + y * y)


def check(count: int, types: str | None) -> None:
    """Raise ValueError where letters and vertices differ in number, or a letter is unknown."""
    if types is None:
        return
    if len(types) != count:
        raise ValueError(f"{count} vertices but {len(types)} types")
    if types.strip("LC"):
        raise ValueError(f"unknown types {types!r}")
