"""BDD's poly2d (vertices with a letter each) to plain vertices: cubic Beziers flattened within a tolerance.

A letter a vertex: L ends a line; C begins a cubic Bezier and takes this vertex and the next two as first control,
second control and end, whatever letters those two carry. The first vertex is always the start. Where a closed path ends
in two controls, the curve ends at the start; a control that has no partner is a corner.

Only sums, products and square roots are used, which every processor rounds alike: NumPy's powers differ in the last bit
between processors.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MOST_SEGMENTS = 512
"""Lines a curve at most, however small the tolerance: at 0.5 pixels those of one that bends by 170,000 pixels."""


def flatten(
    points: NDArray[np.float64],
    counts: Sequence[int],
    letters: Sequence[str | None],
    closed: Sequence[bool],
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return many paths with their curves flattened: all vertices ([K, 2], (x, y) in pixels), and how many each has.

    `points` ([P, 2]) holds the vertices of all paths, `counts` how many each has (at least one), `letters` the letters
    of each (None: all L). Every curve is within `tolerance` pixels,
    unless it takes more than MOST_SEGMENTS lines. Raises ValueError where letters and vertices differ
    in number, or a letter is unknown.
    """
    if not len(counts):
        return np.empty((0, 2)), np.empty(0, np.int64)
    walked = [_pieces(*path) for path in zip(counts, letters, closed, strict=True)]
    sizes = np.array([len(at) for at, _ in walked])
    first = np.repeat(np.cumsum(counts) - counts, sizes)
    at = np.concatenate([at for at, _ in walked]) + first
    end = np.concatenate([end for _, end in walked]) + first
    curved = at != end
    of_curves = np.stack([points[index[curved]] for index in (at - 1, at, at + 1, end)])
    segments = np.ones(len(at), np.int64)
    segments[curved] = _segments(of_curves, tolerance)
    place = np.cumsum(segments) - segments
    flat = points[np.repeat(end, segments)]
    index, which = _inner(segments[curved], place[curved])
    t = ((index - place[curved][which] + 1) / segments[curved][which])[:, None]
    start, control1, control2, stop = of_curves[:, which]
    s = 1 - t
    flat[index] = s * s * s * start + 3 * s * s * t * control1 + 3 * s * t * t * control2 + t * t * t * stop
    return flat, np.add.reduceat(segments, np.cumsum(sizes) - sizes)


def check_letters(count: int, letters: str | None) -> None:
    """Raise ValueError where letters and vertices differ in number, or a letter is unknown."""
    if letters is None:
        return
    if len(letters) != count:
        raise ValueError(f"{count} vertices but {len(letters)} types")
    if letters.strip("LC"):
        raise ValueError(f"unknown types {letters!r}")


@lru_cache(maxsize=4096)
def _pieces(count: int, letters: str | None, closed: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the vertices at which the lines and curves of a path begin, and those at which they end.

    A line ends where it begins: it is the vertex itself.
    """
    check_letters(count, letters)
    pieces, at = [(0, 0)], 1
    while at < count:
        is_curve = letters is not None and letters[at] == "C" and at + 2 < count + closed
        pieces.append((at, (at + 2) % count if is_curve else at))
        at += 3 if is_curve else 1
    starts, ends = np.array(pieces, np.int64).T
    return starts, ends


def _segments(of_curves: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]:
    """Return into how many lines each curve (of [4, N, 2]) is cut, so that chords stay within `tolerance` pixels.

    A chord over 1/n of the parameter errs by at most |B''| / (8 n^2), and |B''| is at most 6 times the larger second
    difference of the four points (de Boor, A Practical Guide to Splines).
    """
    start, control1, control2, end = of_curves
    first, second = start - 2 * control1 + control2, control1 - 2 * control2 + end
    bend = np.maximum(_lengths(first), _lengths(second))
    return np.clip(np.ceil(np.sqrt(0.75 * bend / tolerance)), 1, MOST_SEGMENTS).astype(np.int64)


def _inner(segments: NDArray[np.int64], place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the points inside the curves, all but the last one of each, and the curve of each."""
    inner = segments - 1
    which = np.repeat(np.arange(len(inner)), inner)
    return np.repeat(place - np.cumsum(inner) + inner, inner) + np.arange(inner.sum()), which


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = vectors.T
    return np.asarray(np.sqrt(x * x + y * y))
