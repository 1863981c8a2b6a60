"""What the header of an image file holds, read without decoding a pixel: its size, and whether its end is there."""

import struct
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

LARGEST_FILE = 256 << 20
"""Bytes of the largest image file that is read."""
MOST_PIXELS = 100_000_000
"""Pixels of the largest image that is read."""

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
ORIENTATION, TURNED_ORIENTATIONS = 0x0112, range(2, 9)
"""Exif 2.32, 4.6.4."""
FAULTS = (SyntaxError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError, struct.error)
"""What Pillow raises for damaged headers and Exif data."""


class BadImageError(ValueError):
    """These bytes are no image that is read; the message is a short fixed phrase for `rejected.parquet`."""


@dataclass(frozen=True)
class ImageHeader:
    """An image's stored size in pixels (an Exif rotation is not applied)."""

    width: int
    height: int
    turned: bool
    """Whether its Exif data ask to show it turned or mirrored."""


def read_header(data: bytes) -> ImageHeader:
    """Return the size of a JPEG or PNG image.

    Raises BadImageError for bytes that are neither, end too early, have a header that Pillow can't read, or hold over
    100 megapixels.
    """
    is_jpeg = data.startswith(JPEG_START)
    if not is_jpeg and not data.startswith(PNG_START):
        raise BadImageError("not a JPEG or PNG image" if data else "an empty file")
    end = JPEG_END if is_jpeg else PNG_END
    file = BytesIO(data)
    try:
        # Not Image.open, which tries all formats and warns of large images.
        image = JpegImageFile(file) if is_jpeg else PngImageFile(file)
        after_header = file.tell()  # a thumbnail in the header has an end, too
    except FAULTS:
        kind = "JPEG" if is_jpeg else "PNG"
        raise BadImageError(f"a damaged {kind} header" if end in data else "a truncated image") from None
    if data.rfind(end, after_header) < 0:
        raise BadImageError("a truncated image")
    if image.width * image.height > MOST_PIXELS:
        raise BadImageError("an image over 100 megapixels")
    return ImageHeader(image.width, image.height, is_jpeg and _is_turned(image.info.get("exif", b"")))


def _is_turned(encoded: bytes) -> bool:
    exif = Image.Exif()
    try:
        exif.load(encoded)
        return exif.get(ORIENTATION) in TURNED_ORIENTATIONS
    except FAULTS:
        return False
