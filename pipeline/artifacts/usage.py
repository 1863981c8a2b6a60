"""Which artifacts living processes use, so that `prune` leaves them alone.

Each process has a file in the store's `.in-use/`, locked as long as it lives, with a line for each artifact. A line is
added, and what nobody uses is put aside, under one lock: an artifact is in use, or gone, before anybody reads it.
"""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pipeline.artifacts.manifest import MANIFEST
from pipeline.running import locks
from pipeline.stages import STAGES

UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}

log = logging.getLogger(__name__)

LOCK, FOLDER = ".lock-store", ".in-use"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other processes from beginning to use an artifact of the store `root`; held for moments only."""
    with locks.held(root / LOCK, "the artifact store"):
        yield


def hold_names(root: Path, *names: str) -> None:
    """Keep artifacts, each named `<stage>/<fingerprint>`, from being pruned until this process ends."""
    with locked(root):
        _file_of_this_process(root).write("".join(f"{name}\n" for name in names).encode())


def hold(path: Path) -> Path:
    """Keep the artifact that `path` is, or lies in, from being pruned until this process ends; return `path`.

    A folder outside of a store has nothing to fear, and a store that this process can't write isn't asked.
    """
    folder = (path if path.is_dir() else path.parent).resolve()
    if folder.parent.name in STAGES and (folder / MANIFEST).is_file():
        try:
            hold_names(folder.parent.parent, f"{folder.parent.name}/{folder.name}")
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            log.debug("%s can't be written: %s may be pruned while it is read", folder.parent.parent, folder)
    return path


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
    in_use(root)  # removes those of the dead
    return locks.kept(root / FOLDER / f"{os.getpid()}-{time.time_ns()}")
