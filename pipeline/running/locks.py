"""Locks between processes: the kernel frees them when their holder dies, however it dies."""

import errno
import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the exclusive lock file `path`; wait while another process holds it, and log which one that is."""
    with _opened(path) as file:
        if not _taken(file):
            holder = path.read_text() or "another process"
            log.info("waiting for %s: held by %s", what, holder)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        _name_this_process(file)
        try:
            yield
        finally:
            file.truncate(0)


def kept(path: Path) -> BinaryIO:
    """Return the file at `path`, locked until it is closed or this process ends; `is_held` says so to others."""
    file = _opened(path)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def is_held(path: Path) -> bool:
    """Return whether a living process, this one included, holds the lock file `path`."""
    try:
        with path.open("rb") as file:
            return not _taken(file)
    except FileNotFoundError:
        return False


def _opened(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)


def _taken(file: BinaryIO) -> bool:
    """Return whether the lock was free, and is taken now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name_this_process(file: BinaryIO) -> None:
    """Write who holds the lock, for people; a full disk keeps nobody from locking, and so from freeing some of it."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        file.write(f"process {os.getpid()} ({Path(sys.argv[0]).name}) since {since}".encode())
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
