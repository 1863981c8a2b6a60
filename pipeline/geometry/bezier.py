"""BDD's poly2d (vertices with a letter each) to plain vertices: cubic Beziers flattened within a tolerance.

What the letters mean is in `../shared/FORMATS.md`; closing, cleaning and clipping of rings are in `polygon`.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

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
        _check(len(points), types)
        return points
    _check(len(points), types)
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
    bend = max(np.abs(np.hypot(*(start - 2 * control1 + control2))), np.hypot(*(control1 - 2 * control2 + end)))
    segments = min(max(math.ceil(math.sqrt(0.75 * bend / tolerance)), 1), MOST_SEGMENTS)
    t = np.arange(1, segments + 1)[:, None] / segments
    s = 1 - t
    points = s**3 * start + 3 * s * s * t * control1 + 3 * s * t * t * control2 + t**3 * end
    points[-1] = end
    return np.asarray(points, np.float64)


def flatten_all(
    points: NDArray[np.float64], counts: Sequence[int], letters: Sequence[str | None], tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what `flatten` makes of many closed paths: the vertices of all ([K, 2]), and how many are of each path.

    `points` ([P, 2]) holds the vertices of all paths, `counts` how many each has (at least one). Raises what `flatten`
    raises.
    """
    steps = [_steps(count, types) for count, types in zip(counts, letters, strict=True)]
    sizes = np.array([len(at) for at, _ in steps])
    first = np.repeat(np.cumsum(counts) - counts, sizes)
    at = np.concatenate([at for at, _ in steps]) + first
    end = np.concatenate([end for _, end in steps]) + first
    curved = at != end
    start, control1, control2, stop = (points[index[curved]] for index in (at - 1, at, at + 1, end))
    segments = np.ones(len(at), np.int64)
    segments[curved] = _segments(start, control1, control2, stop, tolerance)
    place = np.cumsum(segments) - segments
    flat = points[np.repeat(end, segments)]
    index, which = _inner(segments[curved], place[curved])
    t = ((index - place[curved][which] + 1) / segments[curved][which])[:, None]
    s = 1 - t
    flat[index] = (
        s**3 * start[which] + 3 * s * s * t * control1[which] + 3 * s * t * t * control2[which] + t**3 * stop[which]
    )
    return flat, np.add.reduceat(segments, np.cumsum(sizes) - sizes)


@lru_cache(maxsize=4096)
def _steps(count: int, types: str | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the vertices at which the lines and curves of a closed path begin, and those at which they end.

    A line ends where it begins: it is the vertex itself.
    """
    _check(count, types)
    steps, at = [(0, 0)], 1
    while at < count:
        curves = types is not None and types[at] == "C" and at + 2 <= count
        steps.append((at, (at + 2) % count if curves else at))
        at += 3 if curves else 1
    starts, ends = np.array(steps, np.int64).T
    return starts, ends


def _segments(
    start: NDArray[np.float64],
    control1: NDArray[np.float64],
    control2: NDArray[np.float64],
    end: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.int64]:
    """Return into how many lines each curve ([N, 2] its four points) is cut, as `curve` does."""
    first, second = start - 2 * control1 + control2, control1 - 2 * control2 + end
    bend = np.maximum(np.hypot(first[:, 0], first[:, 1]), np.hypot(second[:, 0], second[:, 1]))
    return np.clip(np.ceil(np.sqrt(0.75 * bend / tolerance)), 1, MOST_SEGMENTS).astype(np.int64)


def _inner(segments: NDArray[np.int64], place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the points on the curves lie, but for the last one of each, and the curve of each."""
    inner = segments - 1
    which = np.repeat(np.arange(len(inner)), inner)
    return np.repeat(place - np.cumsum(inner) + inner, inner) + np.arange(inner.sum()), which


def _check(count: int, types: str | None) -> None:
    if types is None:
        return
    if len(types) != count:
        raise ValueError(f"{count} vertices but {len(types)} types")
    if types.strip("LC"):
        raise ValueError(f"unknown types {types!r}")
