"""Decoding of image files (those that OpenCV reads) to pixels, optionally at a fraction of their size."""

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LARGEST_IMAGE = 256 * 1024 * 1024
"""Largest number of pixels of an image, a limit against decompression bombs."""
PNG_START = b"\x89PNG\r\n\x1a\n"
BITS = (8, 10, 12, 16)
"""Bits of the values that 16-bit images hold."""


class ImageError(ValueError):
    """An image file can't be read; the message names it."""


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) in pixels from the header of an image file; `name` is used in error messages.

    Raises:
        ImageError: `data` is not an image, or has more than LARGEST_IMAGE pixels.
    """
    from PIL import Image

    try:
        if data.startswith(PNG_START):  # Pillow refuses long texts and colour profiles, which OpenCV skips
            width, height = struct.unpack_from(">II", data, 16)
        else:
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: this is not an image that can be read ({error})") from None
    if width * height > LARGEST_IMAGE:
        raise ImageError(f"{name}: {width}×{height} pixels are more than the {LARGEST_IMAGE} that are read")
    return height, width


def decode(data: bytes, name: str, reduce: int = 1) -> NDArray[np.uint8]:
    """Return the pixels of an image file, [h, w, 3] uint8 RGB, as stored (EXIF orientation not applied).

    Grey is converted to RGB, alpha is dropped, and 16 bits are scaled by `eight_bits`.

    Args:
        data: the file's bytes.
        name: the name of the file in error messages.
        reduce: 1, 2, 4 or 8: decode to the size divided by this, rounded up (JPEG: by smaller DCT blocks).

    Raises:
        ImageError: `data` can't be decoded, or its values are neither of 8 nor of 16 bits.
    """
    import cv2

    # OpenCV's flags for fractions include a colour mode; that of "grayscale" is 0
    fractions = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), fractions[reduce] | flags) if data else None
    except cv2.error:  # sides beyond OpenCV's own limits
        pixels = None
    if pixels is None:
        raise ImageError(f"{name}: this is not an image that can be read, or it is damaged or cut off")
    if pixels.dtype == np.uint16 and reduce > 1:  # means have another largest value than pixels
        full = decode(data, name)
        height, width = (-(-side // reduce) for side in full.shape[:2])
        return np.asarray(cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if pixels.dtype == np.uint16:
        return eight_bits(pixels)
    if pixels.dtype != np.uint8:
        raise ImageError(f"{name}: its pixels are {pixels.dtype}; images of 8 or 16 bits are read")
    return np.asarray(pixels, np.uint8)


def eight_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return pixels [h, w, C] of 16 bits as uint8, scaled by the largest value that they hold.

    Up to 255 they are kept; up to 1023 they are taken for values of 10 bits, up to 4095 of 12 and else of 16.
    """
    import cv2

    bits = next(bits for bits in BITS if int(pixels.max(initial=0)) < 1 << bits)
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255 / ((1 << bits) - 1)), np.uint8).reshape(pixels.shape)


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Return the pixels of an image file, [h, w, 3] uint8 RGB, as `decode` does.

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
