"""Pixels that callers give: one check of an image's dtype, channels and range, where it enters the package."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.data.decoding import ImageError, eight_bits
from mrcnn.data.image_meta import unmold_image

_TOLERANCE = 1e-3
"""Of floats at the ends of their range, relative to its length."""


def as_uint8(image: Any, channels: int | None, name: str) -> NDArray[np.uint8]:
    """Return an image as [H, W, C] uint8; one that is uint8 already is not copied.

    Other integers and floats are values of 0 … 255, and floats up to 1 fractions of 255; uint16 is scaled by
    `eight_bits`, as image files of 16 bits are.

    Args:
        image: [H, W, C], or [H, W] for one channel.
        channels: C, or None for any.
        name: the name of the image in error messages.

    Raises:
        ImageError: there is no image, or its dtype, channels or range have no meaning as pixels.
    """
    if image is None:
        raise ImageError(f"{name} is None: its file was not read (cv2.imread returns None where there is no such file)")
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "uif":
        raise ImageError(
            f"{name} is {type(image).__name__} of {pixels.dtype}; it must be an array of uint8, as skimage.io.imread "
            "returns it"
        )
    if pixels.ndim == 2 and channels in (1, None):
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or not pixels.size or channels not in (pixels.shape[2], None):
        advice = "; grey: skimage.color.gray2rgb(image), with alpha: image[..., :3]" if channels == 3 else ""
        raise ImageError(
            f"{name} has shape {pixels.shape}; with Config.IMAGE_CHANNEL_COUNT {channels} it must be [height, width, "
            f"{channels}]{advice}"
        )
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return eight_bits(pixels)
    return np.rint(np.clip(pixels * _factor(pixels, name), 0, 255)).astype(np.uint8)


def _factor(pixels: NDArray[Any], name: str) -> float:
    """Return the factor from the values of an image to 0 … 255."""
    low, high = float(pixels.min()), float(pixels.max())
    if low >= -_TOLERANCE and high <= 255 * (1 + _TOLERANCE):
        return 255 if pixels.dtype.kind == "f" and high <= 1 + _TOLERANCE else 1
    raise ImageError(
        f"{name} has values from {low:g} to {high:g} as {pixels.dtype}; they must be 0 … 255, fractions of 0 … 1, or "
        "16 bits as uint16: scale them to 0 … 255 (the mean pixel is subtracted later, by the network)"
    )


def images_to_detect(images: Iterable[Any], config: Config) -> list[NDArray[np.uint8]]:
    """Return the images of a call of `detect`, [H, W, C] uint8 each.

    Scripts also give the result of `mold_image`, whose mean pixel is added again.

    Raises:
        ImageError: `images` is a single image or none, or an image is invalid; the message has its position.
    """
    if images is None or isinstance(images, (str, bytes)) or getattr(images, "ndim", 4) < 4:
        raise ImageError("detect takes a list of images, [H, W, C] each; a single one is detect([image])[0]")
    channels = config.IMAGE_CHANNEL_COUNT
    return [as_uint8(_unmolded(image, config), channels, f"images[{n}]") for n, image in enumerate(images)]


def _unmolded(image: Any, config: Config) -> Any:
    """Return `image`, or if it is a uint8 image minus the mean pixel, that one."""
    pixels = np.asarray(image)
    if pixels.dtype.kind != "f" or pixels.shape[-1:] != (config.IMAGE_CHANNEL_COUNT,) or not pixels.min(initial=0) < 0:
        return image
    original = unmold_image(pixels, config)
    return original if np.allclose(pixels + config.MEAN_PIXEL, original, rtol=0, atol=0.01) else image
