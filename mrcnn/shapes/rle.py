"""Run-length encoding of masks as COCO has it, made from the box of a mask and never from the whole image.

The format is that of cocoapi's `maskApi.c`: runs down the columns, starting with zeros, as differences in base 32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes.masks import box_mask


def encode_box(inside: NDArray[np.bool_], box: tuple[int, int, int, int], shape: tuple[int, int]) -> dict[str, Any]:
    """Return COCO's compressed run-length encoding of a mask that is given within its box.

    Args:
        inside: [h, w] bool.
        box: (y1, x1, y2, x2) in pixels of the image, of that height and width; may reach out of the image.
        shape: (H, W) of the image.

    Returns:
        {"size": [H, W], "counts": bytes}, as pycocotools takes it.
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
    places = (column + left) * height + row + top
    starts, ends = places[0::2], places[1::2]
    joined = np.flatnonzero(starts[1:] == ends[:-1])
    starts, ends = np.delete(starts, joined + 1), np.delete(ends, joined)
    bounds = np.stack([starts, ends], axis=1).reshape(-1)
    counts = np.diff(np.concatenate([[0], bounds, [height * width]]))
    return {"size": [height, width], "counts": compress(counts[:-1] if len(counts) > 1 and not counts[-1] else counts)}


def encode_masks(masks: NDArray[Any], boxes: NDArray[Any], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the encodings of predicted masks [N, h, w] float put into their boxes [N, 4] of an image of `shape`."""
    encodings = []
    for mask, (y1, x1, y2, x2) in zip(masks, np.asarray(boxes, int), strict=True):
        inside = box_mask(mask, (int(y2 - y1), int(x2 - x1)))
        encodings.append(encode_box(inside, (y1, x1, y2, x2), (shape[0], shape[1])))
    return encodings


def encode(mask: NDArray[Any]) -> dict[str, Any]:
    """Return COCO's compressed encoding of a whole mask [H, W]."""
    shape = (mask.shape[0], mask.shape[1])
    return encode_box(np.asarray(mask) != 0, (0, 0, *shape), shape)


def decode(encoding: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the mask [H, W] bool of COCO's encoding, compressed (bytes or text) or plain (a list of counts).

    Raises:
        ValueError: the counts don't add up to the size.
    """
    height, width = encoding["size"]
    counts = encoding["counts"]
    if isinstance(counts, (bytes, str)):
        counts = decompress(counts.encode() if isinstance(counts, str) else counts)
    counts = np.asarray(counts, np.int64)
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(f"the runs of a mask add up to {counts.sum()} pixels, not to {height}×{width}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def compress(counts: NDArray[np.int64]) -> bytes:
    """Return run lengths [R] as COCO writes them: from the third less the one two before, 5 bits a letter from "0"."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    digits = np.stack([(values >> (5 * place)) & 31 for place in range(_DIGITS)], axis=1)
    rest = np.stack([values >> (5 * (place + 1)) for place in range(_DIGITS)], axis=1)
    ends = np.where(digits & 16, rest == -1, rest == 0)
    last = ends.argmax(axis=1)
    place = np.arange(_DIGITS)
    letters = digits + 32 * (place < last[:, None]) + 48
    return letters[place <= last[:, None]].astype(np.uint8).tobytes()


_DIGITS = 8
"""Groups of 5 bits that hold any run in an image of up to 2³⁸ pixels."""


def decompress(text: bytes) -> NDArray[np.int64]:
    """Return the run lengths [R] that `compress` wrote."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        digit = letter - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return np.array(counts, np.int64)
