"""What goes with an image into the network: its meta row, and the subtraction of the mean pixel.

The row's layout is the original's, which weights don't depend on but old code does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def compose_image_meta(
    image_id: int,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
    scale: float,
    active_class_ids: Sequence[int] | NDArray[np.int32],
) -> NDArray[np.float64]:
    """Return [12 + NUM_CLASSES] float64: one row that says where an image came from.

    Args:
        image_id: its number in the dataset.
        original_image_shape: (H, W, C) before resizing.
        image_shape: (H, W, C) after resizing and padding.
        window: (y1, x1, y2, x2) in pixels of the picture within its padding.
        scale: of the resizing.
        active_class_ids: [NUM_CLASSES], 1 for each class that the image's source labels.
    """
    parts = ([image_id], original_image_shape, image_shape, window, [scale], active_class_ids)
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def parse_image_meta(meta: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the columns of meta rows [B, 12 + NUM_CLASSES], by the names of `compose_image_meta`, all but scale int32.

    The keys are the original's: image_id, original_image_shape, image_shape, window, scale, active_class_ids.
    """
    return {
        "image_id": meta[:, 0].astype(np.int32),
        "original_image_shape": meta[:, 1:4].astype(np.int32),
        "image_shape": meta[:, 4:7].astype(np.int32),
        "window": meta[:, 7:11].astype(np.int32),
        "scale": meta[:, 11].astype(np.float32),
        "active_class_ids": meta[:, 12:].astype(np.int32),
    }


def mold_image(images: NDArray[Any], config: Any) -> NDArray[np.float32]:
    """Return RGB images [..., 3] as float32 with the mean pixel subtracted: what the first convolution sees."""
    return images.astype(np.float32) - np.asarray(config.MEAN_PIXEL, np.float32)


def unmold_image(normalized_images: NDArray[Any], config: Any) -> NDArray[np.uint8]:
    """Return molded images [..., 3] as uint8 RGB again; values are rounded."""
    return np.clip(np.rint(normalized_images + config.MEAN_PIXEL), 0, 255).astype(np.uint8)
