"""Image files to pixels: decoding JPEG and PNG bytes, at a fraction of their size where that is enough.

Resizing to the network's input is `resizing`'s subject.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LARGEST_IMAGE = 256 * 1024 * 1024
"""Pixels; a header that promises more is taken for a decompression bomb."""


class ImageError(ValueError):
    """A file is no image that can be read; the message says which."""


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) in pixels from the header of an image file; `name` says in errors which one it is.

    Raises:
        ImageError: `data` is not an image, or its header promises more than LARGEST_IMAGE pixels.
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
        name: says in errors which file it is.
        reduce: 1, 2, 4 or 8: decode at this fraction of the size (JPEG: by the size of its DCT blocks), rounded up.

    Raises:
        ImageError: `data` can't be decoded.
    """
    import cv2

    # OpenCV's only names for the fractions carry a colour order; those "grayscale" are the bare fraction
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
    """Return the pixels of an image file, [h, w, 3] uint8 RGB; grey becomes RGB, an alpha channel is dropped.

    Raises:
        OSError: the file can't be opened.
        ImageError: it is not an image.
    """
    data = Path(path).read_bytes()
    image_size(data, str(path))
    return decode(data, str(path))


def reduction(source: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Return the largest of 1, 2, 4, 8 at which an image of `source` (h, w) still has `wanted` (h, w) pixels."""
    return next(by for by in (8, 4, 2, 1) if by == 1 or (source[0] >= by * wanted[0] and source[1] >= by * wanted[1]))
