"""The bytes of a label file, plain or a member of a zip: in memory, or mapped where the file is large."""

import errno
import lzma
import mmap
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ArchiveError, LabelFileError
from pipeline.files.zip_reading import read_member

LARGE = 32 << 20
"""Bytes from which a file is mapped; a member of an archive is unpacked to a temporary file before."""

DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Content:
    """A label file; `path` is the file that `data` is mapped from, if it is mapped."""

    name: str
    """What messages and tables call the file."""
    data: bytes | mmap.mmap
    path: Path | None = None

    def release_pages(self) -> None:
        """Release the memory of the pages that were read."""
        if isinstance(self.data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):  # Linux
            self.data.madvise(mmap.MADV_DONTNEED)


@contextmanager
def opened(
    path: Path,
    member: str | None = None,
    archive: zipfile.ZipFile | None = None,
    name: str | None = None,
    scratch: Path | None = None,
) -> Iterator[Content]:
    """Yield the content of a label file, or of the member of the zip `path`; `archive` may be that, already open.

    A large member is unpacked in the folder `scratch`, by default the system's for temporary files. Raises
    LabelFileError when the file can't be read or changes meanwhile, and ArchiveError when the archive is damaged.
    """
    name = name or (f"{path.name}/{member}" if member else path.name)
    before = _signature(path)
    with ExitStack() as stack:
        with _faults(name):
            if member is None:
                content = _content(path, name, stack)
            else:
                opened_archive = archive or stack.enter_context(zipfile.ZipFile(path))
                content = _unpacked(opened_archive, member, name, scratch, stack)
        yield content
    if _signature(path) != before:
        raise LabelFileError(f"{name}: the label file has changed while it was read; run again when it is complete")


def _content(path: Path, name: str, stack: ExitStack) -> Content:
    file = stack.enter_context(path.open("rb"))
    if path.stat().st_size < LARGE:
        return Content(name, file.read())
    return Content(name, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path)


def _unpacked(archive: zipfile.ZipFile, member: str, name: str, scratch: Path | None, stack: ExitStack) -> Content:
    """Return a member; `zipfile` stops at the size that the archive states, and checks its CRC."""
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise ArchiveError(f"{archive.filename}: the archive has no {member}") from None
    if info.file_size < LARGE:
        return Content(name, read_member(archive, info))
    packed = stack.enter_context(archive.open(info))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".labels-", dir=scratch))
    unpacked = Path(folder) / "labels.json"
    with unpacked.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return _content(unpacked, name, stack)


def _signature(path: Path) -> tuple[int, ...] | None:
    """Return what differs once a file has changed, None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise ArchiveError(f"{name}: the archive is damaged or encrypted: {error}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LabelFileError(f"{name}: the label file can't be read: {error.strerror or error}") from None
