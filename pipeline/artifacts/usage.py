"""Which artifacts living processes use, so that `prune` leaves them alone.

Each process has a file in the store's `.in-use/`, locked as long as it lives, with a line for each artifact. A line is
added, and what nobody uses is put aside, under one lock: an artifact is in use, or gone, before anybody reads it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pipeline.running import locks

LOCK, FOLDER = ".lock-store", ".in-use"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other processes from beginning to use an artifact of the store `root`; held for moments only."""
    with locks.held(root / LOCK, "the artifact store"):
        yield


def hold(root: Path, *names: str) -> None:
    """Keep artifacts, each named `<stage>/<fingerprint>`, from being pruned until this process ends."""
    with locked(root):
        _file_of_this_process(root).write("".join(f"{name}\n" for name in names).encode())


def in_use(root: Path) -> set[str]:
    """Return the names that living processes hold; the files of dead ones are removed. To be called under `locked`."""
    names: set[str] = set()
    for file in (root / FOLDER).glob("*"):
        if locks.is_held(file):
            names.update(file.read_text("utf-8").splitlines())
        else:
            file.unlink()
    return names


@lru_cache(maxsize=16)
def _file_of_this_process(root: Path) -> BinaryIO:
    return locks.kept(root / FOLDER / f"{os.getpid()}-{time.time_ns()}")
