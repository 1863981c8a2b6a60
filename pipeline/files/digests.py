"""Digests of files, remembered by path, inode, size and time of change; what they are used for lives elsewhere.

The memory is a small SQLite file, so that processes share it and a killed one leaves it whole.
"""

import errno
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from pipeline.files.places import data_folder
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map

log = logging.getLogger(__name__)

CHUNK = 1 << 20
FRESH_NANOSECONDS = 2_000_000_000
NOTED_EVERY = 1.0
"""Seconds: what a killed process loses of its work."""


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file; it is read only when its path, size or time of change is new."""
    return digests([path], algorithm)[0]


def digests(paths: list[Path], algorithm: str = "sha256") -> list[str]:
    """Return the digest of each file, in order; the ones not remembered are read on several threads, with progress."""
    try:
        return _digests(paths, algorithm)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        # What was remembered can be found out again.
        log.warning("%s: can't be read (%s): files are hashed anew", _file(), error)
        _file().unlink(missing_ok=True)
        return _digests(paths, algorithm)


def _digests(paths: list[Path], algorithm: str) -> list[str]:
    stamps = [_stamp(path) for path in paths]
    with _memory() as memory:
        known = [_recall(memory, path, stamp, algorithm) for path, stamp in zip(paths, stamps, strict=True)]
        missing = [at for at, value in enumerate(known) if value is None]
        total = sum(stamps[at][0] for at in missing)
        with Progress("hashing sources", total, "B") as bar, _Notes(memory, algorithm) as notes:
            found = ordered_map(lambda at: _read(paths[at], algorithm, bar), missing)
            for at, value in zip(missing, found, strict=True):
                known[at] = value
                notes.add(paths[at], stamps[at], value)
    return [value for value in known if value is not None]


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what tells that a file has changed: unpacked from an archive, two have the time that it was packed at."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _read(path: Path, algorithm: str, bar: Progress) -> str:
    state = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
            bar.advance(len(chunk))
    return state.hexdigest()


@contextmanager
def _memory() -> Iterator[sqlite3.Connection]:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(file, timeout=60)) as memory, memory:
            memory.execute(
                "CREATE TABLE IF NOT EXISTS seen (path TEXT, algorithm TEXT, size INTEGER, mtime_ns INTEGER, "
                "inode INTEGER, digest TEXT, PRIMARY KEY (path, algorithm))"
            )
            yield memory
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error


def _file() -> Path:
    return data_folder() / ".hashes" / "digests.sqlite"


def _recall(memory: sqlite3.Connection, path: Path, stamp: tuple[int, int, int], algorithm: str) -> str | None:
    row = memory.execute(
        "SELECT digest FROM seen WHERE path = ? AND algorithm = ? AND size = ? AND mtime_ns = ? AND inode = ?",
        (_name(path), algorithm, *stamp),
    ).fetchone()
    return row[0] if row else None


class _Notes:
    """Digests on their way into the memory: written many at a time, since others wait for whoever writes."""

    def __init__(self, memory: sqlite3.Connection, algorithm: str) -> None:
        self._memory, self._algorithm = memory, algorithm
        self._rows: list[tuple[bytes, str, int, int, int, str]] = []
        self._written = time.monotonic()

    def add(self, path: Path, stamp: tuple[int, int, int], value: str) -> None:
        """Keep a digest, unless it can't be trusted later: a file may change twice within the clock's resolution."""
        if time.time_ns() - stamp[1] > FRESH_NANOSECONDS:
            self._rows.append((_name(path), self._algorithm, *stamp, value))
        if time.monotonic() - self._written > NOTED_EVERY:
            self._write()

    def _write(self) -> None:
        self._memory.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)", self._rows)
        self._memory.commit()
        self._rows, self._written = [], time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()


def _name(path: Path) -> bytes:
    """Return the absolute path as bytes: a file name need not be text."""
    return os.fsencode(path.resolve())


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
