"""Decoding of JPEG and PNG files to pixels, optionally at a fraction of their size."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LARGEST_IMAGE = 256 * 1024 * 1024
"""Largest number of pixels of an image, a limit against decompression bombs."""


class ImageError(ValueError):
    """An image file can't be read; the message names it."""


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) in pixels from the header of an image file; `name` is used in error messages.

    Raises:
        ImageError: `data` is not an image, or has more than LARGEST_IMAGE pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: this is not an image that can be read ({error})") from None
    if width * height > LARGEST_IMAGE:
        raise ImageError(f"{name}: {width}×{height} pixels are more than the {LARGEST_IMAGE} that are read")
    return height, width


def decode(data: bytes, name: str, reduce: int = 1) -> NDArray[np.uint8]:
    """Return the pixels of a JPEG or PNG file, [h, w, 3] uint8 RGB, as stored (EXIF orientation not applied).

    Args:
        data: the file's bytes.
        name: the name of the file in error messages.
        reduce: 1, 2, 4 or 8: decode to the size divided by this, rounded up (JPEG: by smaller DCT blocks).

    Raises:
        ImageError: `data` can't be decoded.
    """
    import cv2

    # OpenCV's flags for fractions include a colour mode; that of "grayscale" is 0
    fractions = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }
    flags = fractions[reduce] | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if pixels is None:
        raise ImageError(f"{name}: this is not an image that can be read, or it is cut off")
    return np.asarray(pixels, np.uint8)


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Return the pixels of an image file, [h, w, 3] uint8 RGB; grey is converted to RGB, alpha is dropped.

    Raises:
        OSError: the file can't be opened.
        ImageError: it can't be decoded.
    """
    data = Path(path).read_bytes()
    image_size(data, str(path))
    return decode(data, str(path))


def reduction(source: tuple[int, int], size: tuple[int, int]) -> int:
    """Return the largest divisor of 1, 2, 4, 8 with which an image of `source` (h, w) is at least `size` (h, w)."""
    return next(by for by in (8, 4, 2, 1) if by == 1 or (source[0] >= by * size[0] and source[1] >= by * size[1]))
