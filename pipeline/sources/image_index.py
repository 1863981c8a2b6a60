"""The index of raw images, `images.parquet`: their names, the table, and the bytes of an image."""

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.files.atomic import LONGEST_NAME
from pipeline.files.zip_reading import Compression, inflate
from pipeline.instances import tables
from pipeline.instances.image_paths import JOINT
from pipeline.instances.tables import SCHEMA, Rejected, Split, write_table

INDEX = "images.parquet"


@dataclass(frozen=True)
class IndexedImage:
    """An image of the sources, a row of the index."""

    image: str
    """Its flat name, unique also where case does not count."""
    split: Split | None
    """The split that a folder of its path names."""
    source: str
    """The archive or folder that holds it: absolute, or relative to the raw_images folder."""
    path: str
    """Its path inside `source`."""
    offset: int
    """Where its bytes start in the archive; 0 for a file in a folder."""
    length: int
    """The bytes that it takes there."""
    compression: Compression
    size: int
    """Bytes of the image file itself."""
    crc32: int
    width: int
    height: int
    sha256: str


def write_index(folder: Path, images: Iterable[IndexedImage]) -> None:
    """Write `images.parquet`, sorted by name; equal images give equal bytes."""
    rows = [asdict(image) for image in sorted(images, key=lambda image: image.image)]
    write_table(folder / INDEX, pa.Table.from_pylist(rows, SCHEMA))


def write_rejected(folder: Path, rejected: Iterable[Rejected]) -> None:
    """Write `rejected.parquet`, sorted by source and image."""
    rows = sorted((asdict(item) for item in rejected), key=lambda row: (row["source"], row["image"], row["label"]))
    write_table(folder / tables.REJECTED_FILE, pa.Table.from_pylist(rows, tables.REJECTED))


def read_index_table(folder: Path) -> pa.Table:
    """Return the index in a raw_images folder, its columns as in `SCHEMA`; raises ArtifactError where it has none."""
    try:
        with pq.ParquetFile(folder / INDEX) as file:  # pq.read_table imports pandas, a third of a second
            return file.read(SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ArtifactError(f"{folder / INDEX} can't be read ({error}); materialise raw_images again") from error


def read_index(folder: Path) -> dict[str, IndexedImage]:
    """Return the images of a raw_images folder by name, sorted; raises ArtifactError where it has no index."""
    columns = [column.to_pylist() for column in read_index_table(folder).columns]
    return {row[0]: IndexedImage(*row) for row in zip(*columns, strict=True)}


class ImageStore:
    """The images of a raw_images folder: `with ImageStore(folder) as store: …`. Threads may share it."""

    def __init__(self, raw_images: Path) -> None:
        self.raw_images = raw_images
        self._archives: dict[str, int | None] = {}
        """By source: the open archive, or None for a folder."""
        self._opening = threading.Lock()

    def read(self, image: IndexedImage) -> bytes:
        """Return the bytes of the image file as its source holds them, inflated where the archive deflated them.

        Raises ArtifactError when the source is gone or no longer holds that many bytes there; the caller compares
        whether they are the same (`crc32`, `sha256`).
        """
        try:
            data = self._stored_bytes(image)
            if image.compression == "deflate" and len(data) == image.length:
                data = inflate(data, image.size)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ArtifactError(self._changed(image, str(why))) from error
        if len(data) != image.size:
            raise ArtifactError(self._changed(image, f"{len(data):,} bytes instead of {image.size:,}"))
        return data

    def _stored_bytes(self, image: IndexedImage) -> bytes:
        source = self.raw_images / image.source
        with self._opening:
            if image.source not in self._archives:
                self._archives[image.source] = None if source.is_dir() else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        archive = self._archives[image.source]
        if archive is not None:
            return os.pread(archive, image.length, image.offset)
        with (source / image.path).open("rb", buffering=0) as file:
            return file.read(image.length + 1)

    def _changed(self, image: IndexedImage, why: str) -> str:
        where = self.raw_images / image.source / image.path
        return f"{where} is no longer what was indexed ({why}); materialise raw_images again"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the archives that reading has opened."""
        for descriptor in self._archives.values():
            if descriptor is not None:
                os.close(descriptor)
        self._archives.clear()


def flat_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each path (source, folders, base name), unique also where case does not count.

    A base name that occurs once is kept. Paths that share one get as many of their folders before it, joined by `__`,
    as make them different: `train__0001.jpg`, `val__0001.jpg`. Names still alike get a number before the suffix.
    """
    groups = defaultdict(list)
    for at, path in enumerate(paths):
        groups[path[-1].casefold()].append(at)
    names = [""] * len(paths)
    for group in groups.values():
        for at, name in zip(group, _with_folders([paths[at] for at in group]), strict=True):
            names[at] = name
    return _numbered(names, [len(groups[path[-1].casefold()]) > 1 for path in paths])


def _with_folders(paths: list[Sequence[str]]) -> list[str]:
    for depth in range(1, max(map(len, paths)) + 1):
        names = [_joined(path[-depth:]) for path in paths]
        if len({name.casefold() for name in names}) == len(names):
            break
    return names


def _joined(parts: Sequence[str]) -> str:
    name = JOINT.join(parts)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    stem, dot, suffix = parts[-1].rpartition(".")
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}{dot}{suffix}" if stem else name


def _numbered(names: list[str], changed: list[bool]) -> list[str]:
    """Number the names that are still taken; a file's own name is not changed for a joined one."""
    taken: set[str] = set()
    result = list(names)
    for at in sorted(range(len(names)), key=lambda at: changed[at]):
        stem, dot, suffix = names[at].rpartition(".")
        number = 1
        while result[at].casefold() in taken:
            number += 1
            result[at] = f"{stem}-{number}{dot}{suffix}"
        taken.add(result[at].casefold())
    return result
