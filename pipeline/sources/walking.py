"""Walking through the folders of sources: which files are read, which can't be, and whether one has changed."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NoReturn

from pipeline.errors import SourceError
from pipeline.recipe.source_entry import Source

Role = Literal["images", "labels"]
Refused = Callable[[str, SourceError], None]

SUFFIXES: dict[Role, tuple[str, ...]] = {
    "images": (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    "labels": (".json", ".png"),
}
UNREAD_IMAGES = (
    *(".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".ppm", ".pgm"),
    *(".dng", ".cr2", ".nef", ".arw"),
)
"""Suffixes of images that aren't read, which are named and counted instead."""
OF_SYSTEMS = {"__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN"}
"""Folders that no person made."""
REFUSALS = {errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE}
"""Errors of the system for a file that may be there and can't be read."""


@contextmanager
def readable(source: Source) -> Iterator[None]:
    """Turn the system's refusal to read a file of `source` in this block into a SourceError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        refused = os.fsdecode(error.filename or source.path)
        raise SourceError(f"{source.key}: {refused} can't be read: {_advice(error)}") from None


def walk(folder: Path, suffixes: tuple[str, ...], refused: Refused | None = None) -> Iterator[Path]:
    """Yield the files in `folder`, at any depth, whose suffix is one of `suffixes` in any case, sorted by path.

    Hidden files and `__MACOSX` are passed over. Raises SourceError for a folder in it that can't be read, and for a
    link that leads out of it; with `refused`, calls that with the path and the error, and goes on. A link
    to a folder inside it is passed over, since that is walked anyway.
    """
    inside, refuse = folder.resolve(), refused or _raise
    for parent, folders, files in os.walk(folder, onerror=lambda error: refuse(error.filename, _unreadable(error))):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        wanted = sorted(name for name in files if name.lower().endswith(suffixes) and not is_hidden(name))
        paths = [os.path.join(parent, name) for name in wanted]
        links = filter(os.path.islink, (*(os.path.join(parent, name) for name in folders), *paths))
        faults = {link: fault for link in links if (fault := _fault_of_link(link, folder, inside))}
        for link, fault in faults.items():
            refuse(link, fault)
        yield from (Path(path) for path in paths if path not in faults and os.path.isfile(path))


def stamp(source: Source, role: Role) -> str | None:
    """Return a digest of names, sizes and times of change of a local source's files; None where it is not here.

    Only the files that the role reads count, and none is opened: a folder of 100,000 files takes about a second.
    Raises SourceError as `walk` does.
    """
    with readable(source):
        if source.kind != "path" or not source.path.exists():
            return None
        if source.path.is_file():
            return hashlib.sha256(_facts(source.path)).hexdigest()
        seen = hashlib.sha256(b"folder")
        for path in walk(source.path, SUFFIXES[role]):
            with suppress(FileNotFoundError):  # gone since it was listed
                seen.update(os.fsencode(path) + b"\0" + _facts(path))
    return seen.hexdigest()


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is one that programs leave and people don't mean."""
    return name.startswith(".") or name in OF_SYSTEMS


def _facts(path: Path) -> bytes:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}\n".encode()


def _raise(path: str, fault: SourceError) -> NoReturn:
    raise fault


def _unreadable(error: OSError) -> SourceError:
    return SourceError(f"{os.fsdecode(error.filename)} can't be read: {_advice(error)}")


def _advice(error: OSError) -> str:
    return f"{error.strerror}; mend that, or name another source"


def _fault_of_link(link: str, folder: Path, inside: Path) -> SourceError | None:
    target = Path(os.path.realpath(link))
    if target.is_relative_to(inside):
        return None
    if not target.exists():
        return SourceError(f"{link} is a link to {target}, where there is nothing; mend it, or take it away")
    where = target if target.is_dir() else target.parent
    return SourceError(
        f"{link} is a link that leads out of {folder}: copy what links lead to, or name {where} as a source"
    )
