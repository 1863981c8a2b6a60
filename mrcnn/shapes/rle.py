"""COCO's compressed run-length encoding of masks, computed to and from a mask's box instead of the whole image.

The format of cocoapi's `maskApi.c`: column-major runs, starting with zeros, as differences in base 32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes.masks import box_mask

_DIGITS = 8
"""Groups of 5 bits for any run in an image of up to 2³⁸ pixels."""


def encode_box(inside: NDArray[np.bool_], box: tuple[int, int, int, int], shape: tuple[int, int]) -> dict[str, Any]:
    """Return COCO's compressed run-length encoding of a mask that is cropped to its box.

    Args:
        inside: [h, w] bool.
        box: (y1, x1, y2, x2) in pixels of the image, of height h and width w; may exceed the image.
        shape: (H, W) of the image.

    Returns:
        {"size": [H, W], "counts": bytes}, as in pycocotools.
    """
    height, width = shape
    y1, x1, y2, x2 = (int(side) for side in box)
    top, left, bottom, right = max(y1, 0), max(x1, 0), min(y2, height), min(x2, width)
    if bottom <= top or right <= left:
        return {"size": [height, width], "counts": compress(np.array([height * width]))}
    columns = np.zeros((right - left, bottom - top + 2), np.int8)
    columns[:, 1:-1] = inside[top - y1 : bottom - y1, left - x1 : right - x1].T
    steps = np.diff(columns, axis=1)
    column, row = np.nonzero(steps)
    positions = (column + left) * height + row + top
    starts, ends = positions[0::2], positions[1::2]
    joined = np.flatnonzero(starts[1:] == ends[:-1])
    starts, ends = np.delete(starts, joined + 1), np.delete(ends, joined)
    bounds = np.stack([starts, ends], axis=1).reshape(-1)
    counts = np.diff(np.concatenate([[0], bounds, [height * width]]))
    return {"size": [height, width], "counts": compress(counts[:-1] if len(counts) > 1 and not counts[-1] else counts)}


def encode_masks(masks: NDArray[Any], boxes: NDArray[Any], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the encodings of predicted masks [N, h, w] float pasted into boxes [N, 4] of an image of `shape`."""
    encodings = []
    for mask, (y1, x1, y2, x2) in zip(masks, np.asarray(boxes, int), strict=True):
        inside = box_mask(mask, (int(y2 - y1), int(x2 - x1)))
        encodings.append(encode_box(inside, (y1, x1, y2, x2), (shape[0], shape[1])))
    return encodings


def compress(counts: NDArray[np.int64]) -> bytes:
    """Return run lengths [R] in COCO's text format: differences to the run two before, 5 bits a character from "0"."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    digits = np.stack([(values >> (5 * place)) & 31 for place in range(_DIGITS)], axis=1)
    rest = np.stack([values >> (5 * (place + 1)) for place in range(_DIGITS)], axis=1)
    ends = np.where(digits & 16, rest == -1, rest == 0)
    last = ends.argmax(axis=1)
    place = np.arange(_DIGITS)
    letters = digits + 32 * (place < last[:, None]) + 48
    return letters[place <= last[:, None]].astype(np.uint8).tobytes()


def decode_box(rle: dict[str, Any]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return the part of a mask in the smallest box around it, [h, w] bool, and the box's corner (x, y).

    Args:
        rle: {"size": [H, W], "counts": text or bytes}; a mask of no pixels has a box of none, at (0, 0).
    """
    height = rle["size"][0]
    counts = decompress(rle["counts"])
    ends = np.cumsum(counts)
    starts, ends = ends[0:-1:2], ends[1::2]
    if not len(ends):
        return np.zeros((0, 0), np.bool_), (0, 0)
    left, right = int(starts[0]) // height, (int(ends[-1]) - 1) // height + 1
    within = counts[: 2 * len(ends)].copy()
    within[0] -= left * height
    bits = np.repeat(np.arange(len(within)) % 2 == 1, within)
    columns = np.zeros((right - left) * height, np.bool_)
    columns[: len(bits)] = bits
    columns = columns.reshape(-1, height)
    rows = np.flatnonzero(columns.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return columns[:, top:bottom].T, (left, top)


def decompress(text: str | bytes) -> NDArray[np.int64]:
    """Return the run lengths, [R] int64, of COCO's text format: the inverse of `compress`."""
    letters = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(letters < 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(letters)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((letters & 31) << (5 * place), starts)
    values -= np.where(letters[ends] & 16, np.int64(1) << (5 * (ends - starts + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
