"""Decoding of image files (those that OpenCV reads) to pixels, optionally at a fraction of their size."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_IMAGE = 256 * 1024 * 1024
"""Largest number of pixels of an image, a limit against decompression bombs."""
JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION, SHORT = 0x0112, 3
"""Exif 2.32, 4.6.4 and 4.6.2."""
SIDEWAYS = range(5, 9)
"""Orientations by which rows are columns."""
FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
"""OpenCV's code of the flip that follows, by orientation: 0 upside down, 1 left to right, -1 both."""
FAULTS = (SyntaxError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError, struct.error)
"""What Pillow raises for damaged headers."""
BITS = (8, 10, 12, 16)
"""Bits of the values that 16-bit images hold."""


class ImageError(ValueError):
    """An image file can't be read; the message names it."""


def image_size(data: bytes, name: str, upright: bool = True) -> tuple[int, int]:
    """Return (height, width) in pixels from the header of an image file; `name` is used in error messages.

    It is the size of what `decode` returns with the same `upright`.

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
    except (*FAULTS, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: this is not an image that can be read ({error})") from None
    if width * height > LARGEST_IMAGE:
        raise ImageError(f"{name}: {width}×{height} pixels are more than the {LARGEST_IMAGE} that are read")
    return (width, height) if upright and orientation(data) in SIDEWAYS else (height, width)


def decode(data: bytes, name: str, reduce: int = 1, upright: bool = True) -> NDArray[np.uint8]:
    """Return the pixels of an image file, [h, w, 3] uint8 RGB.

    Grey is converted to RGB, alpha is dropped, colour profiles and gamma are not applied, and 16 bits are scaled by
    `eight_bits`. Of several pages or frames the first is read.

    Args:
        data: the file's bytes.
        name: the name of the file in error messages.
        reduce: 1, 2, 4 or 8: decode to the size divided by this, rounded up (JPEG: by smaller DCT blocks).
        upright: turn JPEG and PNG images by their Exif `orientation`, as browsers do; otherwise they are as stored.
            TIFFs always are as their orientation shows them, WebP as stored.

    Raises:
        ImageError: `data` can't be decoded, or its values are neither of 8 nor of 16 bits.
    """
    pixels = _stored_pixels(data, name, reduce)
    return _turned(pixels, orientation(data)) if upright else pixels


def orientation(data: bytes) -> int:
    """Return the Exif orientation, 1 … 8, by which a JPEG or PNG image is turned upright; 1 for all others."""
    from PIL.JpegImagePlugin import JpegImageFile

    if data.startswith(PNG_START):
        return exif_orientation(_png_exif(data))
    if not data.startswith(JPEG_START):
        return 1
    try:
        return exif_orientation(JpegImageFile(io.BytesIO(data)).info.get("exif", b""))
    except FAULTS:  # a damaged header
        return 1


def exif_orientation(exif: bytes) -> int:
    """Return the orientation that encoded Exif data state, 1 … 8; 1 where they don't, or are damaged."""
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, *form, value = struct.unpack_from(f"{order}HHIH", data, at)
            if tag == ORIENTATION:
                return value if form == [SHORT, 1] and 1 <= value <= 8 else 1
    except struct.error:  # the data end before it
        return 1
    return 1


def _png_exif(data: bytes) -> bytes:
    """Return the Exif data of a PNG that stand before its pixels; browsers don't look behind them."""
    at = len(PNG_START)
    while (kind := data[at + 4 : at + 8]) and kind != b"IDAT":
        length = int.from_bytes(data[at : at + 4], "big")
        if kind == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return pixels [h, w, 3] turned and mirrored upright."""
    import cv2

    if orientation in SIDEWAYS:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    return np.asarray(cv2.flip(pixels, FLIPS[orientation]), np.uint8) if orientation in FLIPS else pixels


def _stored_pixels(data: bytes, name: str, reduce: int) -> NDArray[np.uint8]:
    import cv2

    is_tiff = data.startswith(TIFF_STARTS)
    pixels = _read_by_opencv(data, 1 if is_tiff else reduce)
    if pixels is None:
        raise ImageError(f"{name}: this is not an image that can be read, or it is damaged or cut off")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{name}: its pixels are {pixels.dtype}; images of 8 or 16 bits are read")
    if reduce > 1 and (is_tiff or pixels.dtype == np.uint16):  # means have another largest value than pixels
        full = _stored_pixels(data, name, 1)
        height, width = (-(-side // reduce) for side in full.shape[:2])
        return np.asarray(cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if pixels.dtype == np.uint16:
        return eight_bits(pixels)
    return _tiff_without_alpha(data, name, pixels) if is_tiff else np.asarray(pixels, np.uint8)


def _read_by_opencv(data: bytes, reduce: int) -> NDArray[Any] | None:
    """Return the stored pixels, [h, w, 3] RGB of any dtype; None where they can't be decoded."""
    import cv2

    # OpenCV's flags for fractions include a colour mode; that of "grayscale" is 0
    fractions = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }
    is_tiff = data.startswith(TIFF_STARTS)
    # asked for RGB, OpenCV 5.0 returns memory that was never written for TIFFs of 16 bits
    colours = cv2.IMREAD_COLOR if is_tiff else cv2.IMREAD_COLOR_RGB
    flags = fractions[reduce] | colours | cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # sides beyond OpenCV's own limits
        return None
    return pixels if pixels is None or not is_tiff else np.ascontiguousarray(pixels[..., ::-1])


def _tiff_without_alpha(data: bytes, name: str, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return `pixels`, or where they are multiplied by the alpha of a TIFF, as OpenCV does, those that are not."""
    from PIL.TiffImagePlugin import TiffImageFile

    try:
        image = TiffImageFile(io.BytesIO(data))
        return np.asarray(image.convert("RGB")) if image.mode in ("RGBA", "LA") else np.asarray(pixels, np.uint8)
    except FAULTS as error:
        raise ImageError(f"{name}: this TIFF is of a variant that can't be read, or it is damaged ({error})") from None


def eight_bits(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return pixels [h, w, C] of 16 bits as uint8, scaled by the bits that they hold; up to 255 they are kept."""
    import cv2

    largest = (1 << bits_held(pixels)) - 1
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=255 / largest), np.uint8).reshape(pixels.shape)


def bits_held(image: NDArray[Any] | bytes) -> int:
    """Return for how many bits, 8, 10, 12 or 16, the largest value of an image is taken: pixels, or a sound file."""
    pixels = _read_by_opencv(image, 1) if isinstance(image, bytes) else image
    largest = 0 if pixels is None else int(pixels.max(initial=0))
    return next(bits for bits in BITS if largest < 1 << bits)


def read_image(path: Path | str, upright: bool = True) -> NDArray[np.uint8]:
    """Return the pixels of an image file, [h, w, 3] uint8 RGB, as `decode` does.

    Raises:
        OSError: the file can't be opened.
        ImageError: it can't be decoded.
    """
    data = Path(path).read_bytes()
    image_size(data, str(path))
    return decode(data, str(path), upright=upright)


def reduction(source: tuple[int, int], size: tuple[int, int]) -> int:
    """Return the largest divisor of 1, 2, 4, 8 with which an image of `source` (h, w) is at least `size` (h, w)."""
    return next(by for by in (8, 4, 2, 1) if by == 1 or (source[0] >= by * size[0] and source[1] >= by * size[1]))
