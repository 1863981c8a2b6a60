"""Opening a label file: plain or a member of a zip, as a stream of UTF-8 bytes without a byte order mark.

What the bytes say is not looked at here.
"""

import codecs
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO

from pipeline.errors import ArchiveError, LabelFileError

Read = Callable[[int], bytes]
"""Returns at most about so many more bytes; none at the end."""


def display_name(path: Path, member: str | None) -> str:
    """Return how messages and tables call the file: its name, behind it the path inside the archive."""
    return f"{path.name}/{member}" if member else path.name


def size_of(path: Path, member: str | None, archive: zipfile.ZipFile | None) -> int:
    """Return how many bytes the file has, unpacked; 0 where that can't be told, as reading it will say why."""
    try:
        return archive.getinfo(member).file_size if archive and member else path.stat().st_size
    except (OSError, KeyError):
        return 0


def mapped(path: Path) -> mmap | None:
    """Return the file as memory, where it is one of UTF-8 that can be mapped."""
    try:
        with path.open("rb") as file:
            if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return None
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError):  # what is wrong with it is found, and said, when it is read
        return None


@contextmanager
def opened(path: Path, member: str | None, archive: zipfile.ZipFile | None = None) -> Iterator[Read]:
    """Give a function that reads the file on; `archive`, if given, is `path` already open as a zip.

    Raises LabelFileError when the file can't be read and ArchiveError when the archive is damaged, also while reading.
    """
    name = display_name(path, member)
    with ExitStack() as stack:
        with _faults(name):
            file: IO[bytes]
            if member is None:
                file = stack.enter_context(path.open("rb"))
            else:
                archive = archive or stack.enter_context(zipfile.ZipFile(path))
                file = stack.enter_context(_member(archive, member, path))

        def read(size: int) -> bytes:
            with _faults(name):
                return file.read(size)

        yield _as_utf8(read)


def _member(archive: zipfile.ZipFile, member: str, path: Path) -> IO[bytes]:
    try:
        return archive.open(member)
    except KeyError:
        raise ArchiveError(f"{path}: the archive has no {member}") from None


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{name}: the archive is damaged or encrypted: {error}") from None
    except OSError as error:
        raise LabelFileError(f"{name}: the label file can't be read: {error.strerror or error}") from None


def _as_utf8(read: Read) -> Read:
    """Return a function that reads on; UTF-16 is turned to UTF-8, a byte order mark is left out."""
    start = read(4)
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _after(start.removeprefix(codecs.BOM_UTF8), read)
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    read = _after(start, read)

    def recoded(size: int) -> bytes:
        while raw := read(size):
            if text := decoder.decode(raw):
                return text.encode("utf-8", "replace")
        return decoder.decode(b"", final=True).encode("utf-8", "replace")

    return recoded


def _after(start: bytes, read: Read) -> Read:
    waiting = [start] if start else []
    return lambda size: waiting.pop() if waiting else read(size)
