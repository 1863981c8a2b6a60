"""Many paths flattened at once: what `bezier` does to one path, with the same results to the last bit.

Cleaning and clipping the rings that come of it is in `ring_table`.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.curves import MOST_SEGMENTS, check


def flatten_all(
    points: NDArray[np.float64], counts: Sequence[int], letters: Sequence[str | None], tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what `flatten` makes of many closed paths: the vertices of all ([K, 2]), and how many are of each path.

    `points` ([P, 2]) holds the vertices of all paths, `counts` how many each has (at least one). Raises what `flatten`
    raises.
    """
    walked = [steps(count, types) for count, types in zip(counts, letters, strict=True)]
    sizes = np.array([len(at) for at, _ in walked])
    first = np.repeat(np.cumsum(counts) - counts, sizes)
    at = np.concatenate([at for at, _ in walked]) + first
    end = np.concatenate([end for _, end in walked]) + first
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
        s * s * s * start[which]
        + 3 * s * s * t * control1[which]
        + 3 * s * t * t * control2[which]
        + t * t * t * stop[which]
    )
    return flat, np.add.reduceat(segments, np.cumsum(sizes) - sizes)


@lru_cache(maxsize=4096)
def steps(count: int, types: str | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the vertices at which the lines and curves of a closed path begin, and those at which they end.

    A line ends where it begins: it is the vertex itself. Raises ValueError where letters and vertices don't match.
    """
    check(count, types)
    walked, at = [(0, 0)], 1
    while at < count:
        curves = types is not None and types[at] == "C" and at + 2 <= count
        walked.append((at, (at + 2) % count if curves else at))
        at += 3 if curves else 1
    starts, ends = np.array(walked, np.int64).T
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
    bend = np.maximum(_lengths(first), _lengths(second))
    return np.clip(np.ceil(np.sqrt(0.75 * bend / tolerance)), 1, MOST_SEGMENTS).astype(np.int64)


def _inner(segments: NDArray[np.int64], place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the points on the curves lie, but for the last one of each, and the curve of each."""
    inner = segments - 1
    which = np.repeat(np.arange(len(inner)), inner)
    return np.repeat(place - np.cumsum(inner) + inner, inner) + np.arange(inner.sum()), which


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = vectors.T
    return np.asarray(np.sqrt(x * x + y * y))
