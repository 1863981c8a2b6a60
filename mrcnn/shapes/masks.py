"""Masks as arrays of pixels: boxes, mini masks, and predicted masks resized to their boxes.

Masks made of polygons come from `polygons`; run-length encoding is in `rle`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes.polygons import FULL


def extract_bboxes(mask: NDArray[Any]) -> NDArray[np.int32]:
    """Return the boxes of masks [H, W, N]: [N, 4] int32, (y1, x1, y2, x2) in pixels, zeros for an empty mask."""
    mask = np.asarray(mask)
    boxes = np.zeros((mask.shape[-1], 4), np.int32)
    if not mask.size:
        return boxes
    filled = mask if mask.dtype == bool else mask != 0
    for low, high, axis in ((0, 2, 1), (1, 3, 0)):
        lines = np.asarray(filled.any(axis=axis))
        boxes[:, low] = lines.argmax(axis=0)
        boxes[:, high] = len(lines) - lines[::-1].argmax(axis=0)
        boxes[~lines.any(axis=0)] = 0
    return boxes


def minimize_mask(bbox: NDArray[Any], mask: NDArray[Any], mini_shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return masks [H, W, N] cropped to their boxes [N, 4] and resized to `mini_shape` (h, w): [h, w, N] bool.

    Raises:
        ValueError: a box is empty.
    """
    return is_covered(mini_coverage(bbox, mask, mini_shape))


def mini_coverage(bbox: NDArray[Any], mask: NDArray[Any], mini_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return mini masks as `minimize_mask`, as coverage of each cell from 0 to polygons.FULL: [h, w, N] uint8.

    Raises:
        ValueError: a box is empty.
    """
    mini = np.zeros((mask.shape[-1], *mini_shape[:2]), np.uint8)
    for number, (y1, x1, y2, x2) in enumerate(np.asarray(bbox, int)[:, :4]):
        inside = mask[y1:y2, x1:x2, number]
        if not inside.size:
            raise ValueError(f"the box {(int(y1), int(x1), int(y2), int(x2))} of mask {number} is empty")
        mini[number] = _scaled(inside != 0, mini_shape[:2])
    return np.moveaxis(mini, 0, -1)


def is_covered(coverage: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a coverage [...] from 0 to FULL exceeds one half, [...] bool."""
    return coverage > FULL // 2


def expand_mask(bbox: NDArray[Any], mini_mask: NDArray[Any], image_shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return mini masks [h, w, N] resized to their boxes [N, 4] in images of `image_shape`: [H, W, N] bool."""
    full = np.zeros((mini_mask.shape[-1], *image_shape[:2]), bool)
    for number, (y1, x1, y2, x2) in enumerate(np.asarray(bbox, int)[:, :4]):
        full[number, y1:y2, x1:x2] = scaled_mask(mini_mask[:, :, number] != 0, (int(y2 - y1), int(x2 - x1)))
    return np.moveaxis(full, 0, -1)


def scaled_mask(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return `mask` [h, w] bool resized bilinearly to `shape` (height, width): True above one half."""
    return is_covered(_scaled(mask, shape))


def _scaled(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return `mask` [h, w] bool resized bilinearly to `shape` (height, width): uint8, 0 to FULL."""
    import cv2

    grey = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(FULL)
    if mask.shape == tuple(shape):
        return grey
    return np.asarray(cv2.resize(grey, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR))


def unmold_mask(mask: NDArray[Any], bbox: Any, image_shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a predicted mask pasted into its box in an image: [H, W] bool.

    Args:
        mask: [h, w] float, probabilities.
        bbox: (y1, x1, y2, x2) in pixels of the image.
        image_shape: (H, W, …).
    """
    y1, x1, y2, x2 = (int(side) for side in bbox)
    full = np.zeros(image_shape[:2], bool)
    top, left, bottom, right = max(y1, 0), max(x1, 0), min(y2, full.shape[0]), min(x2, full.shape[1])
    if bottom > top and right > left:
        inside = box_mask(mask, (y2 - y1, x2 - x1))
        full[top:bottom, left:right] = inside[top - y1 : bottom - y1, left - x1 : right - x1]
    return full


def unmold_masks(masks: NDArray[Any], boxes: NDArray[Any], image_shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return predicted masks [N, h, w] pasted into their boxes [N, 4] (y1, x1, y2, x2) in pixels: [H, W, N] bool.

    A view of an array [N, H, W], of which only the boxes are written, so that other pages of memory stay unused.
    """
    full = np.zeros((len(masks), *image_shape[:2]), bool)
    for out, mask, box in zip(full, masks, boxes, strict=True):
        y1, x1, y2, x2 = (int(side) for side in box)
        out[y1:y2, x1:x2] = box_mask(mask, (y2 - y1, x2 - x1))
    return np.moveaxis(full, 0, -1)


def box_mask(mask: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a predicted mask [h, w] resized to a box of `shape` (height, width) in pixels: True from one half.

    Bilinear with half-pixel centres and zero padding, as scikit-image's `resize` and detectron2's
    `paste_masks_in_image`.
    """
    import cv2

    scaled = cv2.resize(np.ascontiguousarray(mask, np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
    # OpenCV pads by repeating the border; with zero padding, weights decrease linearly beyond the last sample
    for axis in (0, 1):
        fade = _fade(mask.shape[axis], shape[axis])
        border = np.flatnonzero(fade < 1)
        if axis == 0:
            scaled[border] *= fade[border, None]
        else:
            scaled[:, border] *= fade[border]
    return np.asarray(scaled >= 0.5)


def _fade(side: int, new_side: int) -> NDArray[np.float32]:
    """Return the weights [new_side] of samples, without those of zero padding, for resizing from `side` samples."""
    centre = (np.arange(new_side, dtype=np.float64) + 0.5) * (side / new_side) - 0.5
    outside = np.maximum(0, -centre) + np.maximum(0, centre - (side - 1))
    return (1 - outside).astype(np.float32)
