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

from isal import isal_zlib

from pipeline.errors import ArchiveError, LabelFileError
from pipeline.formats.inflated import inflated

DAMAGED: tuple[type[Exception], ...] = (  # type: ignore[assignment]  # isal's stub takes its error for an instance
    zipfile.BadZipFile,
    isal_zlib.IsalError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)

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
def opened(
    path: Path, member: str | None, archive: zipfile.ZipFile | None = None, name: str | None = None
) -> Iterator[Read]:
    """Give a function that reads the file on; `archive`, if given, is `path` already open as a zip.

    Errors call the file `name`, by default as `display_name` does.
    Raises LabelFileError when the file can't be read, or is another one at the end, and ArchiveError when the archive
    is damaged, also while reading.
    """
    name = name or display_name(path, member)
    before = _signature(path)
    with ExitStack() as stack:
        with _faults(name):
            more: Read
            if member is None:
                more = stack.enter_context(path.open("rb")).read
            else:
                more = _member(archive or stack.enter_context(zipfile.ZipFile(path)), member, path, stack)

        def read(size: int) -> bytes:
            with _faults(name):
                return more(size)

        yield _as_utf8(read)
    if _signature(path) != before:
        raise LabelFileError(f"{name}: the label file has changed while it was read; run again when it is complete")


def _signature(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file's content, None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _member(archive: zipfile.ZipFile, member: str, path: Path, stack: ExitStack) -> Read:
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise ArchiveError(f"{path}: the archive has no {member}") from None
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return stack.enter_context(archive.open(info)).read
    packed, read = inflated(archive, info)
    stack.enter_context(packed)
    return read


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
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
