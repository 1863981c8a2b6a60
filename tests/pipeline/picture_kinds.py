"""Small pictures of every kind that people have, with the pixels that each means: made by code, none is stored."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 41, 28
Y, X = np.mgrid[:HEIGHT, :WIDTH]
STORED = np.stack([6 * X, 9 * Y, 250 - 3 * X - 4 * Y], axis=-1).clip(0, 255).astype(np.uint8)
"""RGB, with another colour in each corner."""
GREY = np.asarray(Image.fromarray(STORED).convert("L"))
ALPHA = np.where(X < WIDTH // 2, 255, 60).astype(np.uint8)
UPRIGHT = {
    1: STORED,
    2: STORED[:, ::-1],
    3: np.rot90(STORED, 2),
    4: STORED[::-1],
    5: STORED.transpose(1, 0, 2),
    6: np.rot90(STORED, -1),
    7: np.rot90(STORED, 2).transpose(1, 0, 2),
    8: np.rot90(STORED),
}
"""As a picture that is stored like `STORED` is seen, by its orientation (Exif 2.32, 4.6.4)."""


@dataclass(frozen=True)
class Kind:
    """A picture's file, and the pixels [h, w, 3] that it means."""

    suffix: str
    data: bytes
    pixels: NDArray[np.uint8]
    tolerance: int = 0
    """Largest difference of a value from `pixels`."""
    in_browsers: bool = True
    """Whether browsers show the same colours; they show size and orientation alike, but no TIFFs."""


def encoded(kind: str, pixels: Any = STORED, mode: str = "", **options: Any) -> bytes:
    """Return a file that Pillow writes of pixels, or of an image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Return Exif data that state an orientation."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png16(pixels: NDArray[np.uint16]) -> bytes:
    """Return a PNG of 16 bits a channel: [h, w], or [h, w, 2, 3 or 4] with grey and alpha, RGB, or RGB and alpha."""
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(pixels: NDArray[Any], orientation: int = 1, **options: Any) -> bytes:
    """Return a TIFF that tifffile writes."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, extratags=[(274, 3, 1, orientation, True)], **options)
    return file.getvalue()


def ycck() -> bytes:
    """Return a JPEG of Adobe's: luma, chroma and black, all of them inverted."""
    luma_and_chroma = Image.fromarray(255 - STORED).convert("YCbCr").split()
    inks = [
        *(Image.eval(plane, lambda value: 255 - value) for plane in luma_and_chroma),
        Image.new("L", (WIDTH, HEIGHT)),
    ]
    data = encoded("JPEG", Image.merge("CMYK", inks), quality=97)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\2" + data[transform + 1 :]


def without_adobe(data: bytes) -> bytes:
    """Return a JPEG without the segment that says that its inks are inverted."""
    start = data.index(b"Adobe") - 4
    return data[:start] + data[start + 16 :]


def _rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([grey] * 3)


def _palette() -> Image.Image:
    return Image.fromarray(STORED).quantize(64)


def _of(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


RGBA = np.dstack([STORED, ALPHA])
SIXTEEN, GREY_16, RGBA_16 = (each.astype(np.uint16) * 257 for each in (STORED, GREY, RGBA))
OTHER_FRAME = [Image.fromarray(255 - STORED)]
CMYK = encoded("JPEG", mode="CMYK", quality=97)
BITS = Image.fromarray(STORED).convert("1", dither=Image.Dither.NONE)


def _jpegs() -> dict[str, Kind]:
    best: dict[str, Any] = {"quality": 97, "subsampling": 0}
    return {
        "JPEG": Kind("jpg", encoded("JPEG", **best), STORED, 6),
        "JPEG, progressive": Kind("jpg", encoded("JPEG", progressive=True, **best), STORED, 6),
        "JPEG, RGB inside": Kind("jpg", encoded("JPEG", keep_rgb=True, **best), STORED, 6),
        "JPEG, grey": Kind("jpg", encoded("JPEG", GREY, quality=97), _rgb(GREY), 6),
        "JPEG, CMYK of Adobe's": Kind("jpg", CMYK, STORED, 8),
        "JPEG, CMYK": Kind("jpg", without_adobe(CMYK), STORED, 8),
        "JPEG, YCCK of Adobe's": Kind("jpg", ycck(), STORED, 8),
        **{
            f"JPEG, orientation {number}": Kind("jpg", encoded("JPEG", exif=exif(number), **best), pixels, 6)
            for number, pixels in UPRIGHT.items()
        },
    }


def _pngs() -> dict[str, Kind]:
    plain, transparent = encoded("PNG"), bytes(range(0, 256, 4))
    return {
        "PNG": Kind("png", plain, STORED),
        "PNG, grey": Kind("png", encoded("PNG", GREY), _rgb(GREY)),
        "PNG, palette": Kind("png", encoded("PNG", _palette()), _of(_palette())),
        "PNG, palette of 4 bits": Kind(
            "png", encoded("PNG", _palette().quantize(9), bits=4), _of(_palette().quantize(9))
        ),
        "PNG, palette, tRNS": Kind(
            "png", encoded("PNG", _palette(), transparency=transparent), _of(_palette()), 0, False
        ),
        "PNG, bits": Kind("png", encoded("PNG", BITS), _of(BITS)),
        "PNG, alpha": Kind("png", encoded("PNG", RGBA), STORED, 0, False),
        "PNG, grey and alpha": Kind("png", encoded("PNG", Image.fromarray(RGBA).convert("LA")), _rgb(GREY), 0, False),
        "PNG, tRNS": Kind("png", encoded("PNG", transparency=(0, 0, 250)), STORED, 0, False),
        "PNG, 16 bits": Kind("png", png16(SIXTEEN), STORED),
        "PNG, 16 bits, grey": Kind("png", png16(GREY_16), _rgb(GREY)),
        "PNG, 16 bits, alpha": Kind("png", png16(RGBA_16), STORED, 0, False),
        "PNG, 16 bits that hold 12": Kind("png", png16(SIXTEEN // 16), STORED, 1, False),
        "PNG, gamma": Kind(
            "png", plain[:33] + chunk(b"gAMA", struct.pack(">I", 100_000)) + plain[33:], STORED, 0, False
        ),
        "PNG, orientation 6": Kind("png", encoded("PNG", exif=exif(6)), UPRIGHT[6]),
        "PNG, orientation 3 after the pixels": Kind(
            "png", plain[:-12] + chunk(b"eXIf", exif(3).tobytes()[6:]) + plain[-12:], STORED
        ),
        "PNG, animated": Kind("png", encoded("PNG", save_all=True, append_images=OTHER_FRAME, duration=10_000), STORED),
    }


def _webps() -> dict[str, Kind]:
    frames: dict[str, Any] = {"save_all": True, "append_images": OTHER_FRAME, "duration": 10_000}
    return {
        "WebP": Kind("webp", encoded("WEBP", quality=100), STORED, 24),
        "WebP, lossless": Kind("webp", encoded("WEBP", lossless=True), STORED),
        "WebP, alpha": Kind("webp", encoded("WEBP", RGBA, lossless=True, exact=True), STORED, 0, False),
        "WebP, animated": Kind("webp", encoded("WEBP", lossless=True, **frames), STORED),
        "WebP, orientation 6": Kind("webp", encoded("WEBP", lossless=True, exif=exif(6)), STORED),
    }


def _tiffs() -> dict[str, Kind]:
    sixteen: dict[str, Any] = {"photometric": "rgb"}
    return {
        "TIFF": Kind("tif", encoded("TIFF"), STORED),
        "TIFF, LZW": Kind("tif", encoded("TIFF", compression="tiff_lzw"), STORED),
        "TIFF, JPEG": Kind("tif", encoded("TIFF", compression="jpeg", quality=97), STORED, 6),
        "TIFF, grey": Kind("tif", encoded("TIFF", GREY), _rgb(GREY)),
        "TIFF, palette": Kind("tif", encoded("TIFF", _palette()), _of(_palette())),
        "TIFF, fax": Kind("tif", encoded("TIFF", BITS, compression="group4"), _of(BITS)),
        "TIFF, CMYK": Kind("tif", encoded("TIFF", mode="CMYK"), STORED),
        "TIFF, alpha": Kind("tif", encoded("TIFF", RGBA), STORED),
        "TIFF, pages": Kind("tif", tiff(np.stack([STORED, 255 - STORED]), photometric="rgb"), STORED),
        "TIFF, tiles": Kind(
            "tif", tiff(np.tile(STORED, (3, 3, 1)), photometric="rgb", tile=(64, 64)), np.tile(STORED, (3, 3, 1))
        ),
        "TIFF, 16 bits": Kind("tif", tiff(SIXTEEN, **sixteen), STORED),
        "TIFF, 16 bits, big-endian": Kind("tif", tiff(SIXTEEN, byteorder=">", **sixteen), STORED),
        "TIFF, 16 bits, predictor": Kind(
            "tif", tiff(SIXTEEN, compression="deflate", predictor=True, **sixteen), STORED
        ),
        "TIFF, 16 bits, grey": Kind("tif", tiff(GREY_16), _rgb(GREY)),
        "TIFF, 16 bits, alpha": Kind("tif", tiff(RGBA_16, extrasamples=["unassalpha"], **sixteen), STORED),
        **{
            f"TIFF, {values.itemsize * 8} bits, orientation {number}": Kind(
                "tif", tiff(values, number, **sixteen), pixels
            )
            for number, pixels in UPRIGHT.items()
            for values in (STORED, SIXTEEN)
        },
    }


def _bmps() -> dict[str, Kind]:
    return {
        "BMP": Kind("bmp", encoded("BMP"), STORED),
        "BMP, palette": Kind("bmp", encoded("BMP", _palette()), _of(_palette())),
        "BMP, bits": Kind("bmp", encoded("BMP", BITS), _of(BITS)),
        "BMP, 32 bits": Kind("bmp", encoded("BMP", RGBA), STORED),
    }


KINDS: dict[str, Kind] = {**_jpegs(), **_pngs(), **_webps(), **_bmps(), **_tiffs()}


def named(names: Sequence[str] = tuple(KINDS)) -> dict[str, bytes]:
    """Return the files of kinds, by names of files."""
    return {f"{name.replace(', ', '_').replace(' ', '-')}.{KINDS[name].suffix}": KINDS[name].data for name in names}
