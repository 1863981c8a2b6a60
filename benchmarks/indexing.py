"""`python -m benchmarks indexing`: raw_images with and without decoding each picture once, in turn."""

import statistics
import tempfile
import time
import zipfile
from datetime import date
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from benchmarks import machine
from pipeline.recipe import parse
from pipeline.sources import raw_images

SHAPE = (720, 1280, 3)
PICTURES = 16
"""Different ones; the archive holds each many times."""
QUALITY = 85
ROUNDS = 3


def run(images: int) -> None:
    """Print seconds for 1,000 images both ways, medians; the archive lies in the page cache."""
    with tempfile.TemporaryDirectory(prefix="bench-indexing-") as name:
        archive = Path(name, "images.zip")
        size = _write(archive, images)
        print(f"{date.today()}, {machine.described()}")
        print(f"{images:,} JPEGs of 1280x720, {size / images / 1e3:.0f} KB each, stored; medians of {ROUNDS} rounds")
        seconds: dict[str, list[float]] = {"without decoding": [], "with decoding": []}
        for _ in range(ROUNDS):
            with mock.patch.object(raw_images, "check_pixels"):
                seconds["without decoding"].append(_indexed(archive))
            seconds["with decoding"].append(_indexed(archive))
        without, decoded = (statistics.median(each) * 1000 / images for each in seconds.values())
        ratio = decoded / without
        print(f"seconds for 1,000 images: {without:.2f} without decoding, {decoded:.2f} with; ratio {ratio:.1f}")


def _write(archive: Path, images: int) -> int:
    """Write an archive of JPEGs with the detail of street scenes; return its size."""
    random = np.random.default_rng(0)
    encoded = [
        cv2.imencode(".jpg", cv2.GaussianBlur(each, (9, 9), 0), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        for each in random.integers(0, 256, (PICTURES, *SHAPE)).astype(np.uint8)
    ]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for number in range(images):
            file.writestr(f"bdd100k/images/100k/train/{number:08x}.jpg", encoded[number % PICTURES])
    return archive.stat().st_size


def _indexed(archive: Path) -> float:
    """Return the seconds that the stage takes, its sources' digests not counted."""
    recipe = parse({"source": {"images": [str(archive)], "labels": [str(archive)]}})
    identities = raw_images.identities(recipe)
    with tempfile.TemporaryDirectory(dir=archive.parent) as out:
        started = time.perf_counter()
        raw_images.build(recipe, Path(out), archive.parent / "downloads", identities)
        return time.perf_counter() - started
