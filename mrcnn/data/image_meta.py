"""The meta row of an image, in matterport's layout, and the subtraction of the mean pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config


def compose_image_meta(
    image_id: int,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
    scale: float,
    active_class_ids: Sequence[int] | NDArray[np.int32],
) -> NDArray[np.float64]:
    """Return the meta row of an image, [12 + NUM_CLASSES] float64.

    Args:
        image_id: index of the image in the dataset.
        original_image_shape: (H, W, C) before resizing.
        image_shape: (H, W, C) after resizing and padding.
        window: (y1, x1, y2, x2) in pixels of the image without padding.
        scale: scale factor of the resizing.
        active_class_ids: [NUM_CLASSES], 1 for each class that is labelled in the source of the image.
    """
    parts = ([image_id], original_image_shape, image_shape, window, [scale], active_class_ids)
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def parse_image_meta(meta: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the columns of meta rows [B, 12 + NUM_CLASSES] by name, int32 except scale (float32).

    Keys: image_id, original_image_shape, image_shape, window, scale, active_class_ids.
    """
    return {
        "image_id": meta[:, 0].astype(np.int32),
        "original_image_shape": meta[:, 1:4].astype(np.int32),
        "image_shape": meta[:, 4:7].astype(np.int32),
        "window": meta[:, 7:11].astype(np.int32),
        "scale": meta[:, 11].astype(np.float32),
        "active_class_ids": meta[:, 12:].astype(np.int32),
    }


def mold_image(images: NDArray[Any], config: Config) -> NDArray[np.float32]:
    """Return RGB images [..., 3] as float32 minus the mean pixel, the input of the first convolution."""
    return images.astype(np.float32) - np.asarray(config.MEAN_PIXEL, np.float32)


def unmold_image(normalized_images: NDArray[Any], config: Config) -> NDArray[np.uint8]:
    """Return molded images [..., 3] as uint8 RGB, rounded."""
    return np.clip(np.rint(normalized_images + config.MEAN_PIXEL), 0, 255).astype(np.uint8)
