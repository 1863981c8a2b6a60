"""Images whose pixels are damaged, by kind of damage; and those that only look so."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pipeline.files.image_header import BadImageError, read_header
from pipeline.files.image_pixels import check_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)


def encoded(kind, mode="RGB", **options):
    """Return a file of 64 x 80 random pixels."""
    file = BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, kind, **options)
    return file.getvalue()


def checked(data):
    """Raise BadImageError where the header or the pixels are damaged."""
    check_pixels(data, read_header(data))


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def chunk(kind, content):
    """Return a PNG chunk with its right CRC."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def without_segments(data, marker):
    """Return a JPEG without its segments of one kind."""
    out, at = data[:2], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += b"" if data[at + 1] == marker else data[at:end]
        at = end
    return out + data[at:]


JPEG, PNG = encoded("JPEG", quality=95), encoded("PNG")
RESTARTS, PROGRESSIVE = encoded("JPEG", restart_marker_blocks=4), encoded("JPEG", progressive=True)
IDAT = PNG.index(b"IDAT") - 4
STREAM = PNG[IDAT + 8 : IDAT + 8 + int.from_bytes(PNG[IDAT : IDAT + 4], "big")]
SCAN = JPEG.index(b"\xff\xda")
EOI, IEND = b"\xff\xd9", chunk(b"IEND", b"")

DAMAGED = {
    "JPEG, scan cut": JPEG[: len(JPEG) // 2] + EOI,
    "JPEG, progressive, scan cut": PROGRESSIVE[: len(PROGRESSIVE) // 2] + EOI,
    "JPEG, CMYK, scan cut": encoded("JPEG", "CMYK")[:4000] + EOI,
    "JPEG, a restart interval lost": RESTARTS[: RESTARTS.index(b"\xff\xd1")] + RESTARTS[RESTARTS.index(b"\xff\xd2") :],
    "JPEG, overwritten": JPEG[: SCAN + 900] + b"\xff" * 40 + JPEG[SCAN + 940 :],
    "JPEG, no quantisation tables": without_segments(JPEG, 0xDB),
    "JPEG, no frame": without_segments(JPEG, 0xC0),
    "PNG, data changed": flipped(PNG, IDAT + 100),
    "PNG, CRC of the data": flipped(PNG, IDAT + 8 + len(STREAM)),
    "PNG, CRC of the header": flipped(PNG, 29),
    "PNG, data changed, CRC right": PNG[:IDAT] + chunk(b"IDAT", flipped(STREAM, len(STREAM) // 2)) + IEND,
    "PNG, data cut, CRC right": PNG[:IDAT] + chunk(b"IDAT", STREAM[: len(STREAM) // 2]) + IEND,
    "PNG, no data": PNG[:IDAT] + IEND,
    "BMP, cut": encoded("BMP")[:-5000],
    "WebP, cut": encoded("WEBP")[:-1000],
    "WebP, no image": b"RIFF\x04\0\0\0WAVE",
    "TIFF, cut": encoded("TIFF")[:-5000],
    "TIFF, deflate, changed": flipped(encoded("TIFF", compression="tiff_deflate"), 9000),
}
WHOLE = {
    "JPEG": JPEG,
    "JPEG, grey": encoded("JPEG", "L"),
    "JPEG, CMYK": encoded("JPEG", "CMYK"),
    "JPEG, progressive": PROGRESSIVE,
    "JPEG, restarts": RESTARTS,
    "JPEG, fill bytes before a segment": JPEG[:20] + bytes(7) + JPEG[20:],
    "JPEG, fill bytes after the scan": JPEG[:-2] + bytes(20) + EOI,
    "JPEG, bytes after its end": JPEG + bytes(100),
    "JPEG, JFIF 3": JPEG.replace(b"JFIF\0\x01", b"JFIF\0\x03"),
    "JPEG, standard Huffman tables left out": without_segments(JPEG, 0xC4),
    "PNG, CRC of a text": PNG[:33] + flipped(chunk(b"tEXt", b"k\0abc"), -1) + PNG[33:],
    "PNG, long text": PNG[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2 << 20))) + PNG[33:],
    "PNG, long profile": PNG[:33] + chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(2 << 20))) + PNG[33:],
    "PNG, palette": encoded("PNG", "P"),
    "PNG, bits": encoded("PNG", "1"),
    "PNG, alpha": encoded("PNG", "RGBA"),
    "BMP": encoded("BMP"),
    "BMP, palette": encoded("BMP", "P"),
    "WebP": encoded("WEBP"),
    "WebP, lossless": encoded("WEBP", lossless=True),
    "TIFF, LZW": encoded("TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": encoded("TIFF", compression="jpeg"),
    "TIFF, alpha": encoded("TIFF", "RGBA"),
    "TIFF, fax": encoded("TIFF", "1", compression="group4"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_found(kind):
    with pytest.raises(BadImageError, match=r"damaged|truncated"):
        checked(DAMAGED[kind])


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_images_pass(kind):
    checked(WHOLE[kind])


def test_unusual_chroma_subsampling_is_left_to_the_decoder():
    factors = {1: 0x31, 2: 0x11, 3: 0x11}  # luma 3 x 1: the scan is too short, which OpenCV doesn't mind
    data = bytearray(encoded("JPEG", subsampling=0))
    header = data.index(b"\xff\xc0")
    for component, factor in factors.items():
        data[header + 8 + 3 * component] = factor
    checked(bytes(data))


def test_values_of_32_bits_are_set_aside():
    file = BytesIO()
    Image.fromarray(NOISE[..., 0].astype(np.float32)).save(file, "TIFF")
    with pytest.raises(BadImageError, match="a damaged TIFF image, or one of a variant that"):
        checked(file.getvalue())
