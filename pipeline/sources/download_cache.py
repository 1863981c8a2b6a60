"""The folder in which what was downloaded or generated is kept once: its records, and the way into an artifact."""

import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import asdict, replace

from pipeline.files.atomic import is_clean, sync, write_json
from pipeline.running import locks

CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}

RECORD, PART_RECORD = "download.json", "content.json"
LOCK, PART, INCOMING = "lock", "content.part", "incoming"
OWN = frozenset({RECORD, PART_RECORD, LOCK, PART, INCOMING})
"""Names in a download's folder that are no file's."""
LONGEST_NAME = 200
"""Bytes; file systems stop at 255, and the name gets a number where it is taken."""

log = logging.getLogger(__name__)


class DownloadRecord(msgspec.Struct, frozen=True):
    """What is known of a download, kept beside it; `name` is the file's, and there once it is complete."""

    address: str
    name: str
    etag: str | None
    last_modified: str | None
    size: int | None
    """Bytes as the server announced them, if it did."""
    length: int | None = None
    """Bytes of the complete file; None of a part."""


def read_record(folder: Path) -> DownloadRecord | None:
    """Return the record of the complete file in a download's folder; None where there is none."""
    record = _read(folder / RECORD)
    if record is None or not (folder / record.name).is_file():
        return None
    length = (folder / record.name).stat().st_size
    # Before there was a length, the size was that of the file.
    return replace(record, length=length) if length == (record.length or record.size) else None


def read_part_record(folder: Path) -> DownloadRecord | None:
    """Return the record of the part in a download's folder; None where there is none."""
    return _read(folder / PART_RECORD) if (folder / PART).exists() else None


def _read(path: Path) -> DownloadRecord | None:
    """Return a record; None also for one that a power cut or a person has damaged: its file is then fetched anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DownloadRecord)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_record(folder: Path, record: DownloadRecord) -> None:
    """Write the record of a complete file, or of a part, into a download's folder."""
    write_json(folder / (PART_RECORD if record.length is None else RECORD), asdict(record))


def drop_part(folder: Path) -> None:
    """Forget the part in a download's folder."""
    for name in (PART, PART_RECORD):
        (folder / name).unlink(missing_ok=True)


def keep_file(folder: Path, file: Path, record: DownloadRecord) -> Path:
    """Make `file`, which lies in a download's folder or below it, the complete one; return where it is."""
    earlier = read_record(folder)
    length = file.stat().st_size
    sync(file)
    (folder / RECORD).unlink(missing_ok=True)
    target = folder / record.name
    file.replace(target)
    write_record(folder, replace(record, length=length))
    drop_part(folder)
    if earlier and earlier.name != record.name:
        (folder / earlier.name).unlink(missing_ok=True)
    return target


def safe_name(name: str) -> str:
    """Return the last part of a name or path that a server gave, without what could mean more than a name."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    clean = "".join(letter if is_clean(letter) else "_" for letter in last)
    safe = clean.strip(". ").encode()[-LONGEST_NAME:].decode(errors="ignore") or "download"
    return f"file-{safe}" if safe.lower() in OWN else safe


def whole_folder(folder: Path, what: str, fill: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `fill` if it is not there: whole or not at all, by one process at a time."""
    if folder.is_dir():
        return folder
    with locks.held(folder.with_name(f"{folder.name}.lock"), what):
        if folder.is_dir():
            return folder
        partial = folder.with_name(f".partial-{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            fill(partial)
            sync(partial)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync(folder.parent)
    return folder


def link_or_copy(file: Path, target: Path) -> None:
    """Make `target` the same file as `file` by a hard link, or a copy where the file system can't link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        log.info("%s can't be linked (%s): copying it", file, error.strerror)
        _copy(file, target)


def _copy(file: Path, target: Path) -> None:
    try:
        shutil.copyfile(file, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
