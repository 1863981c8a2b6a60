"""What the header of an image file says, read from its bytes without decoding a pixel: format, size, whether it ends.

Decoding lives with the training input; this is the cheap look that 70,000 images get at disk speed.
"""

import struct
from dataclasses import dataclass, replace
from typing import Literal

MOST_PIXELS = 100_000_000

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
FRAME = struct.Struct(">BHHB")
FRAMES_READ = (0xC0, 0xC1, 0xC2)
FRAMES_NOT_READ = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
SCAN, END = 0xDA, 0xD9
EXIF_SEGMENT, EXIF_START, ORIENTATION, UPRIGHT, ORIENTATIONS = 0xE1, b"Exif\0\0", 0x0112, 1, range(1, 9)
WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))


class BadImageError(ValueError):
    """These bytes are no image that we read; the message is a short fixed phrase for `rejected.parquet`."""


@dataclass(frozen=True)
class ImageHeader:
    """An image's format and its stored size in pixels (an Exif rotation is not applied)."""

    format: Literal["jpeg", "png"]
    width: int
    height: int
    turned: bool = False
    """Whether its Exif data ask to show it turned or mirrored."""


def read_header(data: bytes) -> ImageHeader:
    """Return what an image's bytes say of it.

    Raises BadImageError for bytes that are no JPEG or PNG, end too early, hold no pixels, over 100 megapixels, or are
    of a kind of JPEG (lossless, arithmetic, 12 bit) that no common decoder reads.
    """
    if data.startswith(JPEG_START):
        header = _jpeg(data)
    elif data.startswith(PNG_START):
        header = _png(data)
    else:
        raise BadImageError("not a JPEG or PNG image" if data else "an empty file")
    if header.width == 0 or header.height == 0:
        raise BadImageError("an image without pixels")
    if header.width * header.height > MOST_PIXELS:
        raise BadImageError("an image over 100 megapixels")
    return header


def _jpeg(data: bytes) -> ImageHeader:
    """Walk the segments up to the first scan (ITU T.81, annex B); an end marker can't occur inside a scan's data."""
    header, turned = None, False
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise BadImageError("a damaged JPEG header")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in WITHOUT_LENGTH:
            at += 2
        elif marker in (SCAN, END):
            break
        else:
            if marker in FRAMES_READ:
                header = _frame(data, at + 4)
            elif marker in FRAMES_NOT_READ:
                raise BadImageError("a kind of JPEG that decoders don't read")
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            turned = turned or (marker == EXIF_SEGMENT and _asks_to_turn(data[at + 4 : end]))
            at = end
    if header is None or data.rfind(JPEG_END, at) < 0:
        raise BadImageError("a truncated image")
    return replace(header, turned=turned)


def _asks_to_turn(segment: bytes) -> bool:
    """Look for an orientation other than upright in the first directory (Exif 2.32, 4.6.4); damaged, it says none."""
    order = {b"II": "<", b"MM": ">"}.get(segment[6:8])
    if order is None or not segment.startswith(EXIF_START):
        return False
    tiff = segment[len(EXIF_START) :]
    try:
        (start,) = struct.unpack_from(f"{order}4xI", tiff)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        entries = [struct.unpack_from(f"{order}H6xH", tiff, start + 2 + 12 * number) for number in range(count)]
    except struct.error:
        return False
    return any(tag == ORIENTATION and value in ORIENTATIONS and value != UPRIGHT for tag, value in entries)


def _frame(data: bytes, at: int) -> ImageHeader:
    if at + FRAME.size > len(data):
        raise BadImageError("a truncated image")
    bits, height, width, components = FRAME.unpack_from(data, at)
    if bits != 8 or components not in (1, 3, 4):
        raise BadImageError("a kind of JPEG that decoders don't read")
    return ImageHeader("jpeg", width, height)


def _png(data: bytes) -> ImageHeader:
    """Read the IHDR chunk, which is always the first (PNG specification, 5.6), and look for IEND."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise BadImageError("a damaged PNG header")
    if data.rfind(PNG_END) < 0:
        raise BadImageError("a truncated image")
    width, height = struct.unpack_from(">II", data, 16)
    return ImageHeader("png", width, height)
