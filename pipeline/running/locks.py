"""Locks between processes: the kernel frees them when their holder dies, however it dies."""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_BETWEEN_TRIES = 0.5

log = logging.getLogger(__name__)


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the exclusive lock file `path`; while another process holds it, wait and say for whom."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _wait_for(file.fileno(), path, what)
        file.truncate(0)
        file.write(f"process {os.getpid()} ({Path(sys.argv[0]).name}) since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_UN)


def _wait_for(descriptor: int, path: Path, what: str) -> None:
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not said:
                log.info("waiting for %s: held by %s", what, path.read_text() or "another process")
                said = True
            time.sleep(SECONDS_BETWEEN_TRIES)
