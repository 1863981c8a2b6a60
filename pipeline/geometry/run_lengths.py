"""COCO's run-length masks, compressed text or plain counts, to arrays; what doesn't add up is refused.

Decoded here and not by a C library, since label files are hostile and the counts decide how much is written where.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 100_000_000
"""The largest mask that is decoded."""


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
