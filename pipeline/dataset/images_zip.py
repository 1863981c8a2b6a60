"""Reads a finished `images.zip`: its splits, its classes, its labelled images, and their bytes, without unpacking it.

How such a file is made is not here (`pipeline.dataset`), nor is the reading of other label files (`pipeline.formats`).
"""

import logging
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Self
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset import labels
from pipeline.errors import ArchiveError, EmptyDatasetError
from pipeline.instances.records import Instance

LABELS = "via_region_data.json"
SPLITS = ("train", "val", "test")
LARGEST_LABELS = 4 << 30
"""Bytes of the largest label file that is read (70,000 BDD frames take about 1.5 GB)."""
LARGEST_IMAGE = 256 << 20
MOST_PIXELS = 178_956_970
"""Where Pillow, too, begins to speak of a decompression bomb."""
MOST_INFLATED = 200
"""Largest ratio of a member's size to its compressed size; JSON reaches about 20."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageRecord:
    """An image of the archive with what is labelled in it."""

    image: str
    split: str
    width: int
    height: int
    instances: tuple[Instance, ...]
    member: str
    """Its path in the archive."""
    size: int
    """Bytes of the image file."""
    crc: int
    """CRC-32 of the image file; with `size` it tells whether two images are the same file."""


@dataclass(frozen=True)
class LeftOut:
    """A region or an image of a label file that can't be used."""

    split: str
    image: str
    region: str
    reason: str


def members_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by path, which some tools write with backslashes."""
    members = {member.filename.replace("\\", "/"): member for member in archive.infolist()}
    return {path: member for path, member in members.items() if path and not path.endswith("/")}


def split_folders(archive: Path, members: Iterable[str]) -> dict[str, str]:
    """Return the folder of each split that an archive has, wherever it lies; raises ArchiveError where one has two."""
    found = [folder for folder, _, name in (member.rpartition("/") for member in members) if name == LABELS]
    folders = {split: sorted(folder for folder in found if folder.rpartition("/")[2] == split) for split in SPLITS}
    for split, its in folders.items():
        if len(its) > 1:
            raise ArchiveError(f"{archive}: has two label files for {split}, in {' and in '.join(its)}")
    return {split: its[0] for split, its in folders.items() if its}


class MemberNames:
    """The members of an archive by path, also where letters with accents are written in another form (NFC, NFD)."""

    def __init__(self, members: Iterable[str]) -> None:
        self._members = set(members)

    @cached_property
    def _composed(self) -> dict[str, str | None]:
        """Members by their names as NFC; None where that is the name of several."""
        found: dict[str, str | None] = {}
        for member in self._members:
            composed = normalize("NFC", member)
            found[composed] = None if composed in found else member
        return found

    def find(self, path: str) -> str | None:
        """Return the one member that `path` means, if there is one."""
        if path in self._members:
            return path
        return None if path.isascii() else self._composed.get(normalize("NFC", path))


class ImagesZip:
    """`images/<split>/<image>` and `images/<split>/via_region_data.json` in one archive, as since 2019.

    Reads what this pipeline writes and what the 2019 script wrote: regions as a dict or a list, no `instance`, the
    class under `class_attribute`, else found, image sizes missing (then taken from the image's header).
    Threads may share it. Raises ArchiveError (damaged, not an archive, a bomb) and LabelFileError; each names the file
    and the member.
    """

    def __init__(self, path: Path | str, class_attribute: str | None = None) -> None:
        self.path = Path(path)
        self._class_attribute = class_attribute
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (OSError, EOFError, struct.error, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ArchiveError(f"{self.path}: can't be read as a zip archive: {why}") from None
        self._members = members_of(self._archive)
        self._names = MemberNames(self._members)
        self._folders = split_folders(self.path, self._members)
        if not self._folders:
            raise ArchiveError(f"{self.path}: holds no images/train/{LABELS} or images/val/{LABELS}")
        self._records: dict[str, tuple[ImageRecord, ...]] = {}
        self.left_out: list[LeftOut] = []
        """What could not be used of the splits read so far."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have a label file, in the order train, val, test."""
        return tuple(self._folders)

    def records(self, split: str) -> tuple[ImageRecord, ...]:
        """Return the images of `split`, sorted by name; raises EmptyDatasetError where there are none."""
        if split not in self._folders:
            raise EmptyDatasetError(f"{self.path}: has no images/{split}/{LABELS}; it has {', '.join(self.splits)}")
        if split not in self._records:
            self._records[split] = self._read_split(split)
        return self._records[split]

    def class_names(self, order: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the categories of all splits: those of `order` that occur come first, then the rest, sorted."""
        found = self._categories
        return (*(name for name in order if name in found), *sorted(found - set(order)))

    @cached_property
    def _categories(self) -> frozenset[str]:
        records = (record for split in self.splits for record in self.records(split))
        return frozenset(instance.category for record in records for instance in record.instances)

    def read(self, record: ImageRecord) -> bytes:
        """Return the image file's bytes; raises ArchiveError when it is damaged or too large."""
        return self._read(record.member, LARGEST_IMAGE)

    def pixels(self, record: ImageRecord) -> NDArray[np.uint8]:
        """Return the image, [height, width, 3] uint8 RGB; raises ArchiveError where it is not what `record` says."""
        import cv2

        encoded = self.read(record)
        if self._header_size(record.member, encoded) != (record.width, record.height):
            raise ArchiveError(f"{self._where(record.member)}: isn't {record.width}x{record.height} as its labels say")
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
        if image is None:
            raise ArchiveError(f"{self._where(record.member)}: the image can't be decoded")
        return image.astype(np.uint8, copy=False)

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _where(self, member: str) -> str:
        return f"{self.path}/{member}"

    def _read(self, member: str, largest: int) -> bytes:
        info = self._members[member]
        if info.file_size > largest or info.file_size > MOST_INFLATED * max(info.compress_size, 1024):
            raise ArchiveError(f"{self._where(member)}: unpacks to {info.file_size:,} bytes, which is not believable")
        try:
            return self._archive.read(info)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise ArchiveError(f"{self._where(member)}: is damaged: {error}") from None

    def _header_size(self, member: str, encoded: bytes) -> tuple[int, int]:
        """Return (width, height) as the image's header says."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(BytesIO(encoded)) as image:
                width, height = image.size
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ArchiveError(f"{self._where(member)}: isn't an image that can be read: {error}") from None
        if width * height > MOST_PIXELS:
            raise ArchiveError(f"{self._where(member)}: {width}x{height} pixels are too many")
        return width, height

    def _read_split(self, split: str) -> tuple[ImageRecord, ...]:
        member = f"{self._folders[split]}/{LABELS}"
        left_out: list[LeftOut] = []
        records: dict[str, ImageRecord] = {}
        content = self._read(member, LARGEST_LABELS)
        for entry in labels.read(content, self._where(member), self._class_attribute):
            image = PurePosixPath(entry.filename.replace("\\", "/")).name
            if image in records:
                left_out.append(LeftOut(split, image, "", "labelled twice: the first labels count"))
                continue
            path = self._names.find(f"{self._folders[split]}/{image}")
            if path is None:
                left_out.append(LeftOut(split, image, "", "the image is not in the archive"))
                continue
            records[image] = self._record(split, image, path, entry, left_out)
        if not records:
            raise EmptyDatasetError(f"{self._where(member)}: labels no image that is in the archive")
        for reason, count in sorted(Counter(item.reason for item in left_out).items()):
            log.warning("%s: %d left out: %s", self._where(member), count, reason)
        self.left_out += left_out
        return tuple(records[image] for image in sorted(records))

    def _record(
        self, split: str, image: str, member: str, entry: labels.LabelledEntry, left_out: list[LeftOut]
    ) -> ImageRecord:
        width, height = entry.width, entry.height
        if not (width and height):
            width, height = self._header_size(member, self._read(member, LARGEST_IMAGE))
        if width * height > MOST_PIXELS:
            raise ArchiveError(f"{self._where(member)}: {width}x{height} pixels are too many")
        left_out += [LeftOut(split, image, region, reason) for region, reason in entry.left_out]
        info = self._members[member]
        return ImageRecord(image, split, width, height, entry.instances, member, info.file_size, info.CRC)
