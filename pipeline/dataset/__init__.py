"""The stage `dataset_zip`: images and labels of each split in one `images.zip`, as the 2019 notebooks expect it."""

import mmap
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from isal import isal_zlib

from pipeline.artifacts import summary
from pipeline.artifacts.summary import Check, Summary
from pipeline.dataset.images_zip import ARCHIVE
from pipeline.errors import ArtifactError, EmptyDatasetError
from pipeline.files.atomic import whole_file
from pipeline.files.zip_writing import CHUNK, Slot, StoredZip
from pipeline.formats.via.writing import REGION_DATA
from pipeline.instances.tables import Split, read_images
from pipeline.recipe import Recipe
from pipeline.running.progress import Progress
from pipeline.running.threads import in_batches, ordered_map
from pipeline.sources.image_index import ImageStore, IndexedImage, read_index

SYNCED_AT_ONCE = 256 << 20
"""Bytes after which the archive is brought to the disk, while more of it is written."""
FAILED_BEFORE = "failed_checks_before"
"""Table of the summary: the checks of images and labels that did not pass."""
NAMED = 8
"""Members that a check lists at most."""
IMAGES_AT_ONCE = 32
"""Images read and written by a thread at a time: about as many bytes (2 MB) as its cache holds; tried from 8 to 64."""


class _ViaEntry(msgspec.Struct):
    """Of an image's entry in a VIA file, only its name: the regions are not even parsed."""

    filename: str


def build(recipe: Recipe, filtered_labels: Path, via_train: Path, via_val: Path, raw_images: Path, out: Path) -> None:
    """Write `out/images.zip`: `images/<split>/<image>` and `images/<split>/via_region_data.json`, sorted by name.

    Members are stored and dated 1980-01-01; equal inputs give equal bytes. Each image's bytes are those of its source,
    compared with the index by CRC-32. Raises EmptyDatasetError when train or val has no image, ArtifactError when a
    VIA file names an image that the index lacks, or when a source has changed since it was indexed.
    """
    with _via_files(recipe, filtered_labels, via_train, via_val, out) as via_files:
        index = read_index(raw_images)
        images = {split: _images(split, file, index) for split, file in via_files.items()}
        with whole_file(out / ARCHIVE) as file, ImageStore(raw_images) as store:
            archive = StoredZip(file)
            _write_members(archive, file.fileno(), images, via_files, store)
            archive.close()
        whole = archive_whole(out / ARCHIVE, images)
        summary.write(out, _summary(images, archive.size, (raw_images, filtered_labels), whole))


@contextmanager
def _via_files(
    recipe: Recipe, filtered_labels: Path, via_train: Path, via_val: Path, out: Path
) -> Iterator[dict[Split, Path]]:
    """Give the VIA file of each split; that of test is written here, where there is a test split."""
    files: dict[Split, Path] = {"train": via_train / REGION_DATA, "val": via_val / REGION_DATA}
    if not read_images(filtered_labels, "test").num_rows:
        yield files
        return
    from pipeline import via

    with TemporaryDirectory(prefix=".via-test-", dir=out) as folder:
        via.build(recipe, filtered_labels=filtered_labels, split="test", out=Path(folder))
        yield {"test": Path(folder, REGION_DATA), **files}


def _images(split: Split, via_file: Path, index: dict[str, IndexedImage]) -> list[IndexedImage]:
    """Return the images that a VIA file names, sorted by name."""
    names = Counter(_names(via_file))
    if not names and split != "test":
        raise EmptyDatasetError(
            f"{via_file} names no image: the {split} split is empty; see dataset.split in the recipe"
        )
    if twice := [name for name, times in names.items() if times > 1]:
        raise ArtifactError(f"{via_file} names {twice[0]} twice; materialise via_{split} again")
    if absent := sorted(names.keys() - index.keys()):
        raise ArtifactError(
            f"{via_file} names {len(absent)} images that raw_images does not hold (the first is {absent[0]}): "
            "materialise the chain from raw_images on"
        )
    return [index[name] for name in sorted(names)]


def _names(via_file: Path) -> list[str]:
    """Return the file names in a VIA file; it is mapped, not read: 70,000 images make a file of a gigabyte."""
    try:
        with via_file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            entries = msgspec.json.decode(content, type=dict[str, _ViaEntry])
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{via_file} can't be read ({error}); materialise its asset again") from error
    return [entry.filename for entry in entries.values()]


def _write_members(
    archive: StoredZip,
    descriptor: int,
    images: dict[Split, list[IndexedImage]],
    via_files: dict[Split, Path],
    store: ImageStore,
) -> None:
    def copy(group: list[tuple[Slot, IndexedImage]]) -> int:
        contents = [_verified(store, image) for _, image in group]
        archive.fill([slot for slot, _ in group], contents)
        return sum(map(len, contents))

    total = sum(image.size for chosen in images.values() for image in chosen)
    syncs: list[Future[None]] = []
    with Progress(f"writing {ARCHIVE}", total, "B") as bar, ThreadPoolExecutor(1) as syncing:
        for split in sorted(images):
            folder = f"images/{split}"
            slots = ((archive.reserve(f"{folder}/{each.image}", each.size, each.crc32), each) for each in images[split])
            for size in ordered_map(copy, in_batches(slots, IMAGES_AT_ONCE), batch_size=1):
                bar.advance(size)
                if bar.done // SYNCED_AT_ONCE > len(syncs):  # so that the fsync at the end finds little left to do
                    syncs.append(syncing.submit(os.fsync, descriptor))
            archive.add_file(f"{folder}/{REGION_DATA}", via_files[split])
    for sync in syncs:  # the system reports an error of the disk once
        sync.result()


def _verified(store: ImageStore, image: IndexedImage) -> bytes:
    """Return an image's bytes, compared with the index by the CRC that the archive gives them anyway.

    Their SHA-256 was compared when they were indexed, which takes four times as long as everything here.
    """
    data = store.read(image)
    if isal_zlib.crc32(data) != image.crc32:
        where = store.raw_images / image.source / image.path
        raise ArtifactError(f"{where} has changed since it was indexed; materialise raw_images again")
    return data


def archive_whole(path: Path, images: dict[Split, list[IndexedImage]]) -> Check:
    """Check that the archive, read back, holds every image in its size, and label files whose checksums fit."""
    wanted = {f"images/{split}/{image.image}": image.size for split, chosen in images.items() for image in chosen}
    labels = [f"images/{split}/{REGION_DATA}" for split in images]
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.filename: info.file_size for info in archive.infolist()}
            damaged = [name for name, size in wanted.items() if found.get(name) != size]
            for name in labels:
                with archive.open(name) as member:
                    while member.read(CHUNK):
                        pass
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        damaged = [str(error)]
    text = f"{ARCHIVE} holds {len(wanted)} images and {len(labels)} label files"
    if damaged:
        text = f"{ARCHIVE}, read back, lacks {len(damaged)} members (the first is {damaged[0]}): is the disk sound?"
    return Check(
        "archive_whole",
        passed=not damaged,
        description=text,
        numbers={"images": len(wanted), "damaged": len(damaged)},
        examples=[{"member": name} for name in damaged[:NAMED]],
    )


def _summary(
    images: dict[Split, list[IndexedImage]], archive_size: int, made_from: Sequence[Path], whole: Check
) -> Summary:
    """Return the summary; it repeats the failed checks of what the dataset is made from, for the evaluation report."""
    failed = [check for folder in made_from for check in summary.read(folder).failed]
    counts = {split: len(chosen) for split, chosen in images.items()}
    return Summary(
        numbers={
            **{f"{split}_images": count for split, count in counts.items()},
            "images": sum(counts.values()),
            "bytes": archive_size,
        },
        tables={
            "splits": [
                {"split": split, "images": len(chosen), "bytes": sum(image.size for image in chosen)}
                for split, chosen in images.items()
            ],
            FAILED_BEFORE: [{"check": check.name, "description": check.description} for check in failed],
        },
        checks=[whole],
    )
