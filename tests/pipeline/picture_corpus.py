"""Broken, empty, huge, mislabelled and oddly named picture files, each with its outcome: made by code, not stored."""

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.pipeline.picture_kinds import GREY_16, KINDS, RGBA, SIXTEEN, chunk, encoded, tiff
from tests.pipeline.small_sources import png_claiming

NOISE = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
JPEG, PNG, GIF = encoded("JPEG", NOISE, quality=95), encoded("PNG", NOISE), encoded("GIF", NOISE)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
SCAN, PIXELS = JPEG.index(b"\xff\xda") + 20, PNG.index(b"IDAT") + 40
LONG_TEXT = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(64 << 20)))

NO_IMAGE = "not a JPEG, PNG, BMP, WebP or TIFF image"
CUT = "a truncated image"
DAMAGED_JPEG = "a damaged JPEG image: pixels are missing or wrong"
DAMAGED_PNG = "a damaged PNG image, or one of a variant that OpenCV can't decode"
CUT_TIFF = "a damaged TIFF image, or one of a variant that can't be decoded"
OTHER_TIFF = "a damaged TIFF image, or one of a variant that OpenCV can't decode"
TIFF_HEADER = "a damaged TIFF header, or one of a variant that isn't read"
VAST = "an image over 100 megapixels"
LONG = "an image over 100 times as long as it is wide"
UNCLEAN = "a name that is not clean text"
UNREAD = "a type that is not read: convert it to .png"


@dataclass(frozen=True)
class Case:
    """A file, and why it is set aside; an empty reason where it is used as it is."""

    data: bytes
    reason: str = ""


def _tiff_claiming(width: int, height: int) -> bytes:
    """Return a TIFF of a few bytes whose header claims a size."""
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1))
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)


BROKEN = {
    "empty.jpg": Case(b"", "an empty file"),
    "page.jpg": Case(b"<html>404 Not Found</html>", NO_IMAGE),
    "zeros.png": Case(bytes(5000), NO_IMAGE),
    "start.jpg": Case(JPEG[:3], CUT),
    "cut.jpg": Case(JPEG[: len(JPEG) // 2], CUT),
    "cut.png": Case(PNG[: len(PNG) // 2], CUT),
    "cut with an end.jpg": Case(JPEG[: len(JPEG) // 2] + b"\xff\xd9", DAMAGED_JPEG),
    "overwritten.jpg": Case(JPEG[: SCAN + 900] + b"\xff" * 40 + JPEG[SCAN + 940 :], DAMAGED_JPEG),
    "flipped bits.png": Case(PNG[:PIXELS] + bytes([PNG[PIXELS] ^ 0x55]) + PNG[PIXELS + 1 :], DAMAGED_PNG),
    "cut.bmp": Case(encoded("BMP", NOISE)[:-5000], "a damaged BMP image, or one of a variant that OpenCV can't decode"),
    "cut.webp": Case(encoded("WEBP", NOISE)[:-1000], "a damaged WebP header"),
    "sound.webp": Case(b"RIFF\x04\0\0\0WAVE", "a damaged WebP header"),
    "cut.tif": Case(encoded("TIFF", NOISE)[:-5000], CUT_TIFF),
    "no side.png": Case(png_claiming(0, 20), "a damaged PNG header"),
}
HUGE = {
    "vast.png": Case(png_claiming(30_000, 30_000), VAST),
    "vast.tif": Case(_tiff_claiming(30_000, 30_000), VAST),
    "line.png": Case(encoded("PNG", np.zeros((10, 20_000, 3), np.uint8)), LONG),
    "long.png": Case(encoded("PNG", np.zeros((20, 2000, 3), np.uint8))),
    "text of 64 MB.png": Case(PNG[:33] + LONG_TEXT + PNG[33:]),
    "one pixel.png": Case(encoded("PNG", NOISE[:1, :1])),
}
MISLABELLED = {
    "gif.jpg": Case(GIF, NO_IMAGE),
    "heic.jpg": Case(HEIC, NO_IMAGE),
    "phone.HEIC": Case(HEIC, f".heic, {UNREAD}"),
    "moving.gif": Case(GIF, f".gif, {UNREAD}"),
    "archive.jpg": Case(b"PK\x05\x06" + bytes(18), NO_IMAGE),
    "png.jpg": Case(PNG),
    "jpg.png": Case(JPEG),
    "bytes after the end.jpg": Case(JPEG + bytes(1000)),
}
UNUSUAL = {
    "cmyk.jpg": Case(KINDS["JPEG, CMYK of Adobe's"].data),
    "turned.jpg": Case(KINDS["JPEG, orientation 6"].data),
    "animated.png": Case(KINDS["PNG, animated"].data),
    "16 bits.png": Case(KINDS["PNG, 16 bits"].data),
    "16 bits.tif": Case(tiff(SIXTEEN, photometric="rgb")),
    "four channels.tif": Case(encoded("TIFF", RGBA)),
    "five channels.tif": Case(
        tiff(np.dstack([RGBA, RGBA[..., 0]]), photometric="minisblack", planarconfig="contig"), TIFF_HEADER
    ),
    "floats of 16 bits.tif": Case(tiff(GREY_16.astype(np.float16)), TIFF_HEADER),
    "floats of 32 bits.tif": Case(tiff(GREY_16.astype(np.float32)), OTHER_TIFF),
    "integers of 32 bits.tif": Case(tiff(GREY_16.astype(np.uint32)), OTHER_TIFF),
}
NAMES = {
    "line\nbreak.jpg": Case(JPEG, UNCLEAN),
    "caf\udce9.jpg": Case(JPEG, UNCLEAN),
    "é ñ 日本 🚗.jpg": Case(encoded("JPEG", 255 - NOISE)),
    "100% [a] #1; $HOME 'b'.jpg": Case(encoded("JPEG", NOISE // 2)),
    f"{'n' * 240}.jpg": Case(encoded("JPEG", NOISE // 3)),
    "CAPITALS.JPG": Case(encoded("JPEG", NOISE // 4)),
}
CORPUS = BROKEN | HUGE | MISLABELLED | UNUSUAL | NAMES


def fill(folder: Path) -> Path:
    """Write the corpus into a new folder, and beside it what is no picture: hidden files, a folder, a pipe."""
    folder.mkdir(parents=True)
    for name, case in CORPUS.items():
        (folder / name).write_bytes(case.data)
    (folder / ".hidden.jpg").write_bytes(JPEG)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    return folder


def hostile_zips(folder: Path) -> dict[str, Path]:
    """Write archives that are refused as a whole, and return them by a part of the reason."""
    folder.mkdir(parents=True)
    archives = {}
    for reason, names in (("leads out of the archive", ["../out.jpg", "a.jpg"]), ("holds no image", ["inner.zip"])):
        archives[reason] = folder / f"{len(archives)}.zip"
        with zipfile.ZipFile(archives[reason], "w") as archive:
            for name in names:
                archive.writestr(name, JPEG)
    whole = archives["leads out of the archive"].read_bytes()
    for reason, content in (
        ("truncated or not a zip archive", whole[: len(whole) // 2]),
        ("is encrypted", _with_password(folder / "plain.zip")),
        ("would inflate", _bomb(folder / "bomb.zip")),
    ):
        archives[reason] = folder / f"{len(archives)}.zip"
        archives[reason].write_bytes(content)
    return archives


def _with_password(path: Path) -> bytes:
    """Return an archive whose headers say that its member is encrypted."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", JPEG)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _bomb(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(100 << 20))
    return path.read_bytes()
