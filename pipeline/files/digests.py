"""Digests of files, remembered in `$BDD_DATA_DIR/.hashes` by path, inode, size and time of change."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.files import data_folder
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map

CHUNK = 1 << 20
FRESH_NANOSECONDS = 2_000_000_000
"""A file may change twice within the resolution of its time of change; one that changed so recently is not noted."""

Key = tuple[bytes, str, int, int, int]
"""Absolute path (which need not be text), algorithm, size in bytes, time of change in ns, inode."""


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content, which is read in any case."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file; it is read only when its path, inode, size or time of change is new."""
    return digests([path], algorithm)[0]


def digests(paths: Sequence[Path], algorithm: str = "sha256") -> list[str]:
    """Return the digest of each file, in order; unknown ones are read on several threads, with progress."""
    file = data_folder() / ".hashes" / "digests.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(file, timeout=60)) as database:
            return _digests(database, paths, algorithm)
    except sqlite3.DatabaseError as error:
        raise SourceError(f"{file}: {error}; remove it, and files are hashed anew") from error


def _digests(database: sqlite3.Connection, paths: Sequence[Path], algorithm: str) -> list[str]:
    database.execute(
        "CREATE TABLE IF NOT EXISTS seen (path TEXT, algorithm TEXT, size INTEGER, mtime_ns INTEGER, "
        "inode INTEGER, digest TEXT, PRIMARY KEY (path, algorithm))"
    )
    keys = [_key(path, algorithm) for path in paths]
    query = "SELECT digest FROM seen WHERE path = ? AND algorithm = ? AND size = ? AND mtime_ns = ? AND inode = ?"
    known = {key: row[0] for key in keys if (row := database.execute(query, key).fetchone())}
    unknown = [(path, key) for path, key in zip(paths, keys, strict=True) if key not in known]
    with Progress("hashing sources", sum(key[2] for _, key in unknown), "B") as bar:
        found = ordered_map(lambda each: _read(each[0], algorithm, bar), unknown, batch_size=1)
        read = {key: value for (_, key), value in zip(unknown, found, strict=True)}
    _note(database, [(*key, value) for key, value in read.items()])
    known |= read
    return [known[key] for key in keys]


def _key(path: Path, algorithm: str) -> Key:
    """Return what a digest is known by; files unpacked from an archive may differ in their inode alone."""
    status = path.stat()
    return os.fsencode(path.resolve()), algorithm, status.st_size, status.st_mtime_ns, status.st_ino


def _read(path: Path, algorithm: str, bar: Progress) -> str:
    state = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
            bar.advance(len(chunk))
    return state.hexdigest()


def _note(database: sqlite3.Connection, rows: list[tuple[*Key, str]]) -> None:
    """Write digests in one short transaction, since other processes wait meanwhile."""
    now = time.time_ns()
    with database:
        settled = [row for row in rows if now - row[3] > FRESH_NANOSECONDS]
        database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)", settled)
