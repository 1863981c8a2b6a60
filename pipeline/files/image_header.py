"""What the header of an image file holds, read without decoding a pixel: its size, and whether its end is there."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from mrcnn.data import decoding

Kind = Literal["JPEG", "PNG", "BMP", "WebP", "TIFF"]

LARGEST_FILE = 256 << 20
"""Bytes of the largest image file that is read."""
MOST_PIXELS = 100_000_000
"""Pixels of the largest image that is read."""
MOST_ELONGATED = 100
"""Longest side over shortest: of more, less than a row of pixels would be left in the network's input."""

MOST_FILL = 1 << 20
"""Pairs of fill bytes (0xFF) in a JPEG file that is read: Pillow takes a second for them, and libjpeg none."""

JPEG_END, PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"
STARTS: Mapping[bytes, Kind] = {
    decoding.JPEG_START: "JPEG",
    decoding.PNG_START: "PNG",
    b"BM": "BMP",
    b"RIFF": "WebP",
    **dict.fromkeys(decoding.TIFF_STARTS, "TIFF"),
}
READERS: Mapping[Kind, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "BMP": BmpImageFile,
    "WebP": WebPImageFile,
    "TIFF": TiffImageFile,
}
FAULTS = decoding.FAULTS


class BadImageError(ValueError):
    """These bytes are no image that is read; the message is a short fixed phrase for `rejected.parquet`."""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded; width and height are those of its pixels then."""

    kind: Kind
    width: int
    height: int
    bits: int
    """Of a channel; 8 where the header doesn't say otherwise."""
    orientation: int
    """Stated by its Exif data, 1 … 8; `decoding`, as browsers do, turns JPEG and PNG images by it, and no WebP."""


def read_header(data: bytes) -> ImageHeader:
    """Return what the header of a JPEG, PNG, BMP, WebP or TIFF image says.

    Raises BadImageError for bytes that are none of these, end too early, have a damaged header, hold over 100
    megapixels, or have one side over 100 times as long as the other.
    """
    kind = next((STARTS[start] for start in STARTS if data.startswith(start)), None)
    if kind is None:
        raise BadImageError("not a JPEG, PNG, BMP, WebP or TIFF image" if data else "an empty file")
    try:
        header = _png_header(data) if kind == "PNG" else _header(data, kind)
    except BadImageError:
        raise
    except FAULTS:
        cut = (kind == "JPEG" and JPEG_END not in data) or (kind == "PNG" and PNG_END not in data)
        variant = ", or one of a variant that isn't read" if kind == "TIFF" else ""
        raise BadImageError("a truncated image" if cut else f"a damaged {kind} header{variant}") from None
    if header.width * header.height > MOST_PIXELS:
        raise BadImageError("an image over 100 megapixels")
    if max(header.width, header.height) > MOST_ELONGATED * min(header.width, header.height):
        raise BadImageError(f"an image over {MOST_ELONGATED} times as long as it is wide")
    if kind != "WebP" and header.orientation in decoding.SIDEWAYS:
        return replace(header, width=header.height, height=header.width)
    return header


def _header(data: bytes, kind: Kind) -> ImageHeader:
    if kind == "JPEG" and data.count(b"\xff\xff", 0, max(data.rfind(JPEG_END), 0) or None) > MOST_FILL:
        raise BadImageError("a JPEG image of fill bytes")
    file = BytesIO(data)
    image = READERS[kind](file)  # not Image.open, which tries all formats and warns of large images
    if kind == "JPEG" and data.rfind(JPEG_END, file.tell()) < 0:  # a thumbnail in the header has an end, too
        raise BadImageError("a truncated image")
    bits = max(image.tag_v2.get(BITSPERSAMPLE, (8,))) if isinstance(image, TiffImageFile) else 8
    orientation = decoding.exif_orientation(image.info.get("exif", b"")) if kind in ("JPEG", "WebP") else 1
    return ImageHeader(kind, image.width, image.height, bits, orientation)


def _png_header(data: bytes) -> ImageHeader:
    """Read the chunk IHDR alone: Pillow reads all chunks, and refuses long texts and colour profiles."""
    if data.rfind(PNG_END) < 0:
        raise BadImageError("a truncated image")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    (crc,) = struct.unpack_from(">I", data, 29)
    if zlib.crc32(data[12:29]) != crc or not (width and height):
        raise BadImageError("a damaged PNG header")
    return ImageHeader("PNG", width, height, bits, decoding.orientation(data))
