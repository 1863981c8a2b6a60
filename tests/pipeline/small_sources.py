"""Small sources to test on: images of a few pixels, archives of them, and the raw stages built from them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from pipeline.recipe import Recipe, parse
from pipeline.sources import raw_images, raw_labels

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"


def jpeg(width: int = 16, height: int = 9, grey: int = 90) -> bytes:
    """Return a small JPEG; another grey gives other bytes."""
    return _encoded("JPEG", width, height, grey)


def png(width: int = 16, height: int = 9, grey: int = 90) -> bytes:
    """Return a small PNG."""
    return _encoded("PNG", width, height, grey)


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims a size."""
    data = bytearray(png())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def zip_of(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip archive of `members` (name to content) and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def folder_of(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` (path to content) under the folder `path` and return it."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def recipe_of(*entries: Path | str, seed: int = 1) -> Recipe:
    """Return a recipe whose images and labels come from `entries`."""
    names = [str(entry) for entry in entries]
    return parse({"seed": seed, "source": {"images": names, "labels": names, "sample": {"train": 2, "val": 1}}})


def index(out: Path, *entries: Path | str) -> Path:
    """Build `raw_images` from `entries` in the folder `out` and return it."""
    out.mkdir()
    raw_images.build(recipe_of(*entries), out, out.parent / "downloads")
    return out


def listed_labels(out: Path, *entries: Path | str) -> Path:
    """Build `raw_labels` from `entries` in the folder `out` and return it."""
    out.mkdir()
    raw_labels.build(recipe_of(*entries), out, out.parent / "downloads")
    return out


def rows(table: Path) -> list[dict[str, object]]:
    """Return the rows of a Parquet file."""
    return pq.read_table(table).to_pylist()


def _encoded(kind: str, width: int, height: int, grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(file, kind)
    return file.getvalue()
