"""`make bench-dataset`: dataset_zip on images of the release's size, beside cp of the archive that they come from.

Both read an archive that lies in the page cache, and both are timed until what they wrote is on the disk.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import machine
from benchmarks.measured import Measured, measured
from pipeline.artifacts import summary
from pipeline.sources.image_index import IndexedImage, write_index

BYTES_AN_IMAGE = (40_000, 80_000)
REGION = {
    "shape_attributes": {"name": "polygon", "all_points_x": [300, 300, 464, 464], "all_points_y": [176, 323, 323, 176]},
    "region_attributes": {"name": "car"},
}
REGIONS = 12
"""In each image's VIA entry."""
VAL = 10
"""One image in so many is of val."""
ROUNDS = 5
WANTED_SHARE = 0.7
SETTLING = 6.0
"""Seconds before each copy. A virtual machine hands freed memory back to its host after about two seconds, and writing
to it again then takes three times as long: without the wait, whoever comes at once after the other's end is faster."""
FEWER = 4
"""By how much the smaller data set is smaller, which shows whether memory grows."""
MOST_GROWTH = 1.1
"""By which it may seem to: the list of images is in memory, their bytes aren't."""

STAGE = """
import json, sys, time
from pathlib import Path
from pipeline import dataset, recipe
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
started = time.perf_counter()
dataset.build(recipe.parse({}), folder / "filtered", folder / "train", folder / "val", folder / "raw_images", out)
print("seconds", time.perf_counter() - started)
"""
"""The stage as its program runs it; the seconds that Python takes to start are not counted against the copying."""


def run(images: int) -> None:
    """Print bytes a second of both, and the stage's memory on a quarter of the images; nothing is left on the disk."""
    with tempfile.TemporaryDirectory(prefix="bench-dataset-") as name:
        few, many = Path(name, "few"), Path(name, "many")
        size = _prepare(many, images)
        _prepare(few, images // FEWER)
        print(f"{date.today()}, {machine.described()}")
        print(f"{images:,} images, {size / 1e9:.2f} GB, stored; medians of {ROUNDS} rounds in turn, fsync included")
        rates: dict[str, list[float]] = {"cp": [], "dataset_zip": []}
        peaks = []
        for _ in range(ROUNDS):
            rates["cp"].append(_copied(many))
            seconds, made, taken = _built(many)
            rates["dataset_zip"].append(made / seconds)
            peaks.append(taken.peak_bytes)
        cp, ours = (statistics.median(rates[way]) for way in ("cp", "dataset_zip"))
        small = _built(few)[2].peak_bytes
        met = "met" if ours >= WANTED_SHARE * cp else "NOT met"
        print(
            f"cp {cp / 1e6:,.0f} MB/s, dataset_zip {ours / 1e6:,.0f} MB/s: {ours / cp:.2f} of cp; wanted: 0.70: {met}"
        )
        flat = "met" if max(peaks) <= MOST_GROWTH * small else "NOT met"
        print(
            f"memory: {images // FEWER:,} images {small / 1e6:.0f} MB, {images:,} images {max(peaks) / 1e6:.0f} MB; "
            f"wanted: no growth: {flat}"
        )


def _prepare(folder: Path, count: int) -> int:
    """Write the archive and all that the stage needs of it; return the archive's size."""
    for part in ("filtered", "train", "val", "raw_images"):
        (folder / part).mkdir(parents=True)
    archive = folder / "raw_images" / "images_100k.zip"
    rows = list(_written(archive, count))
    write_index(folder / "raw_images", rows)
    for part in ("filtered", "raw_images"):
        summary.write(folder / part, summary.Summary())
    splits = {"train": rows, "val": rows[::VAL]}
    splits["train"] = [row for at, row in enumerate(rows) if at % VAL]
    for split, members in splits.items():
        regions = [REGION] * REGIONS
        entries = {
            f"{row.image}{row.size}": {"filename": row.image, "size": row.size, "regions": regions} for row in members
        }
        (folder / split / "via_region_data.json").write_text(json.dumps(entries))
    pq.write_table(pa.table({"split": [*splits]}), folder / "filtered" / "images.parquet")
    return archive.stat().st_size


def _written(archive: Path, count: int) -> Iterator[IndexedImage]:
    """Write `count` images of bytes that no compression helps; yield their rows in the index."""
    random = Random(100_000)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for number in range(count):
            content = random.randbytes(random.randint(*BYTES_AN_IMAGE))
            path = f"bdd100k/images/100k/train/{number:08x}-{random.getrandbits(32):08x}.jpg"
            file.writestr(path, content)
            offset = file.start_dir - len(content)
            digest, crc = hashlib.sha256(content).hexdigest(), zlib.crc32(content)
            name, size = path.rpartition("/")[2], len(content)
            yield IndexedImage(name, "train", archive.name, path, offset, size, "stored", size, crc, 1280, 720, digest)


def _copied(folder: Path) -> float:
    """Return the bytes a second at which cp copies the archive."""
    archive, copy = folder / "raw_images" / "images_100k.zip", folder / "copy.zip"
    time.sleep(SETTLING)
    started = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", str(archive), str(copy)], check=True)
    _sync(copy)
    seconds = time.perf_counter() - started
    copy.unlink()
    return archive.stat().st_size / seconds


def _built(folder: Path) -> tuple[float, int, Measured]:
    """Run the stage; return its seconds, the size of its archive, and what the whole program took."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out, log = Path(name, "out"), Path(name, "log")
        out.mkdir()
        time.sleep(SETTLING)
        taken = measured([sys.executable, "-c", STAGE, str(folder), str(out)], log)
        seconds = float(log.read_text().split()[-1])
        return seconds, (out / "images.zip").stat().st_size, taken


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
