"""The folder in which what was downloaded or generated is kept once: its records, and the way into an artifact.

How things are fetched is `pipeline.download`'s and `pipeline.drive`'s, how the sample is drawn `pipeline.sample`'s.
"""

import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline import hashes, locks
from pipeline.files import sync, write_json

CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}

RECORD = "download.json"
LOCK, PART, INCOMING = "lock", "content.part", "incoming"
OWN = frozenset({RECORD, LOCK, PART, INCOMING})
"""Names in a download's folder that are no file's."""
LONGEST_NAME = 150

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DownloadRecord:
    """What is known of a download, kept beside it; `name` is the file's, and there once it is complete."""

    address: str
    name: str
    etag: str | None
    last_modified: str | None
    size: int | None
    complete: bool


def read_record(folder: Path) -> DownloadRecord | None:
    """Return the record in a download's folder; None where there is none, or its complete file is gone."""
    try:
        record = DownloadRecord(**json.loads((folder / RECORD).read_text("utf-8")))
    except FileNotFoundError:
        return None
    file = folder / record.name
    if record.complete and not (file.is_file() and file.stat().st_size == record.size):
        return None
    return record


def write_record(folder: Path, record: DownloadRecord) -> None:
    """Write the record into a download's folder."""
    write_json(folder / RECORD, asdict(record))


def drop_record(folder: Path) -> None:
    """Forget what is known of a download, so that it is fetched anew."""
    (folder / RECORD).unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """Return the last part of a name or path that a server gave, without what could mean more than a name."""
    last = re.sub(r"[^\w.+ -]", "_", name.replace("\\", "/").rstrip("/").rpartition("/")[2], flags=re.ASCII)
    safe = last.strip(". ")[-LONGEST_NAME:] or "download"
    return f"file-{safe}" if safe.lower() in OWN else safe


def downloads_folder() -> Path:
    """Return the folder of what is fetched only once, `$BDD_DATA_DIR/.downloads`."""
    return hashes.data_folder() / ".downloads"


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
