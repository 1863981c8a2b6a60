"""A finished `images.zip` as it is read: its splits, its classes, its labelled images, and their bytes."""

import logging
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from mrcnn.data import decoding
from pipeline.dataset import labels
from pipeline.errors import ArchiveError, EmptyDatasetError, LabelFileError
from pipeline.files.image_header import LARGEST_FILE, MOST_PIXELS
from pipeline.files.zip_reading import is_bomb, read_member
from pipeline.formats.via.writing import REGION_DATA
from pipeline.geometry.polygon import Ring
from pipeline.instances.tables import SPLITS
from pipeline.labels.classes import Instance

ARCHIVE = "images.zip"
LARGEST_LABELS = 4 << 30
"""Bytes of the largest label file that is read (70,000 BDD frames take about 1.5 GB)."""

MOST_CLASSES = 2000
"""LVIS has 1,203; what is measured of pairs of classes takes 23 GB for 20,000."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageRecord:
    """An image of the archive with what is labelled in it."""

    image: str
    split: str
    width: int
    height: int
    instances: tuple[Instance[Ring], ...]
    member: str
    """Its path in the archive."""
    size: int
    """Bytes of the image file."""
    crc: int
    """CRC-32 of the image file; with `size` it tells whether two images are the same file."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What its label file says of the whole image, as BDD's `weather`; texts only."""


class Listed(Protocol):
    """What lists its files as an archive does."""

    def infolist(self) -> list[zipfile.ZipInfo]:
        """Return the files."""


def members_of(archive: Listed) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by path, which some tools write with backslashes."""
    members = {member.filename.replace("\\", "/"): member for member in archive.infolist()}
    return {path: member for path, member in members.items() if path and not path.endswith("/")}


def split_folders(archive: Path, members: Iterable[str]) -> dict[str, str]:
    """Return the folder of each split that an archive has, at any depth; raises ArchiveError where one has two."""
    labelled = [folder for folder, _, name in (member.rpartition("/") for member in members) if name == REGION_DATA]
    by_split = {split: sorted(each for each in labelled if each.rpartition("/")[2] == split) for split in SPLITS}
    for split, folders in by_split.items():
        if len(folders) > 1:
            raise ArchiveError(f"{archive}: has two label files for {split}, in {' and in '.join(folders)}")
    return {split: folders[0] for split, folders in by_split.items() if folders}


class MemberNames:
    """The members of an archive by path, also where letters with accents are written in another form (NFC, NFD)."""

    def __init__(self, members: Iterable[str]) -> None:
        self._members = set(members)
        forms = Counter(normalize("NFC", member) for member in self._members)
        composed = {normalize("NFC", member): member for member in self._members}
        self._composed = {name: member for name, member in composed.items() if forms[name] == 1}

    def find(self, path: str) -> str | None:
        """Return the one member that `path` means, if there is one."""
        return path if path in self._members else self._composed.get(normalize("NFC", path))


class ImagesZip(AbstractContextManager["ImagesZip"]):
    """`images/<split>/<image>` and `images/<split>/via_region_data.json` in one archive, as since 2019.

    Reads what this pipeline writes and what the 2019 script wrote: regions as a dict or a list, no `instance`, the
    class under `class_attribute`, else found, image sizes missing (then taken from the image's header).
    Threads may share it. Raises ArchiveError (damaged, not an archive, a bomb) and LabelFileError; each names the file
    and the member.
    """

    def __init__(self, path: Path | str, class_attribute: str | None = None, with_attributes: bool = False) -> None:
        """Open an archive; attributes of instances besides class and flags are read only `with_attributes`."""
        self.path = Path(path)
        self._class_attribute, self._with_attributes = class_attribute, with_attributes
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (OSError, EOFError, struct.error, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ArchiveError(f"{self.path}: can't be read as a zip archive: {why}") from None
        self._members = members_of(self._archive)
        self._names = MemberNames(self._members)
        self._folders = split_folders(self.path, self._members)
        if not self._folders:
            raise ArchiveError(f"{self.path}: holds no images/train/{REGION_DATA} or images/val/{REGION_DATA}")
        self._records: dict[str, tuple[ImageRecord, ...]] = {}
        self.left_out: list[tuple[str, str, str]] = []
        """What could not be used of the splits read so far: image, region (empty: the whole image), reason."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have a label file, in the order train, val, test."""
        return tuple(self._folders)

    def records(self, split: str) -> tuple[ImageRecord, ...]:
        """Return the images of `split`, sorted by name.

        Raises EmptyDatasetError where there are none, LabelFileError for more than MOST_CLASSES.
        """
        if split not in self._folders:
            has = ", ".join(self.splits)
            raise EmptyDatasetError(f"{self.path}: has no images/{split}/{REGION_DATA}; it has {has}")
        if split not in self._records:
            self._records[split] = self._read_split(split)
            self._refuse_too_many_classes(self._records[split])
        return self._records[split]

    def _refuse_too_many_classes(self, records: Sequence[ImageRecord]) -> None:
        found = {instance.category for record in records for instance in record.instances}
        if len(found) > MOST_CLASSES:
            raise LabelFileError(
                f"{self.path}: its labels have {len(found):,} classes, and {MOST_CLASSES:,} are the most that can be "
                "trained and judged: set labels.categories to those wanted, or class_attribute to what says them"
            )

    def class_names(self, order: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the categories of all splits: those of `order` that occur come first, then the rest, sorted."""
        records = (record for split in self.splits for record in self.records(split))
        found = {instance.category for record in records for instance in record.instances}
        return (*(name for name in order if name in found), *sorted(found - set(order)))

    def read(self, record: ImageRecord) -> bytes:
        """Return the image file's bytes; raises ArchiveError when it is damaged or too large."""
        return self._read(record.member, LARGEST_FILE)

    def pixels(self, record: ImageRecord) -> NDArray[np.uint8]:
        """Return the image, [height, width, 3] uint8 RGB; raises ArchiveError where it is not what `record` says."""
        encoded = self.read(record)
        if self._size(record.member, encoded) != (record.width, record.height):
            raise ArchiveError(f"{self._where(record.member)}: isn't {record.width}x{record.height} as its labels say")
        try:
            return decoding.decode(encoded, record.member)
        except decoding.ImageError as error:
            raise ArchiveError(f"{self.path}: {error}") from None

    def __exit__(self, *exc: object) -> None:
        self._archive.close()

    def _where(self, member: str) -> str:
        return f"{self.path}/{member}"

    def _read(self, member: str, largest: int) -> bytes:
        info = self._members[member]
        if info.file_size > largest or is_bomb(info):
            raise ArchiveError(f"{self._where(member)}: unpacks to {info.file_size:,} bytes, which is not believable")
        try:
            return read_member(self._archive, info)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise ArchiveError(f"{self._where(member)}: is damaged: {error}") from None

    def _size(self, member: str, encoded: bytes) -> tuple[int, int]:
        """Return (width, height) as the image's header says."""
        try:
            height, width = decoding.image_size(encoded, member)
        except ValueError as error:
            raise ArchiveError(f"{self.path}: {error}") from None
        return width, height

    def _read_split(self, split: str) -> tuple[ImageRecord, ...]:
        folder = self._folders[split]
        where = self._where(f"{folder}/{REGION_DATA}")
        content = self._read(f"{folder}/{REGION_DATA}", LARGEST_LABELS)
        left_out: list[tuple[str, str, str]] = []
        records: dict[str, ImageRecord] = {}
        for labelled in labels.read(content, where, self._class_attribute, self._with_attributes):
            image = PurePosixPath(labelled.name.replace("\\", "/")).name
            member = self._names.find(f"{folder}/{image}")
            if image in records:
                left_out.append((image, "", "labelled twice: the first labels count"))
            elif member is None:
                left_out.append((image, "", "the image is not in the archive"))
            else:
                left_out += [(image, region, reason) for region, reason in labelled.unusable]
                records[image] = self._record(split, image, member, labelled)
        if not records:
            raise EmptyDatasetError(f"{where}: labels no image that is in the archive")
        for reason, count in sorted(Counter(reason for *_, reason in left_out).items()):
            log.warning("%s: %d left out: %s", where, count, reason)
        self.left_out += left_out
        return tuple(records[image] for image in sorted(records))

    def _record(self, split: str, image: str, member: str, labelled: labels.LabelledEntry) -> ImageRecord:
        width, height = labelled.size
        if not (width and height):
            width, height = self._size(member, self._read(member, LARGEST_FILE))
        if width * height > MOST_PIXELS:
            raise ArchiveError(f"{self._where(member)}: {width}x{height} pixels are too many")
        info = self._members[member]
        instances = tuple(labelled.instances)
        return ImageRecord(
            image, split, width, height, instances, member, info.file_size, info.CRC, labelled.attributes
        )
