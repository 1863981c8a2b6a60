"""Files written whole or not at all: written beside, fsynced, renamed."""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self
from unicodedata import category

LONGEST_NAME = 200
SYNCED_AT_ONCE = 256 << 20
"""Bytes after which a large file is brought to the disk, while more of it is written."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` only when the block ends without an error."""
    beside = path.with_name(f".{_shortened(path.name)}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _shortened(name: str) -> str:
    """Return a name to which something may be added: file systems take 255 bytes."""
    return name if len(os.fsencode(name)) <= LONGEST_NAME else hashlib.sha256(os.fsencode(name)).hexdigest()


class EarlySync:
    """Brings what was written of a large file to the disk while more is written: `with EarlySync(file) as sync: …`.

    The fsync that makes the file whole then finds little left to do, and few of its pages wait in memory. An error of
    the disk is raised by `wrote` or at the block's end: the system tells it once, so a later fsync would not see it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._thread = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None
        self._waiting = 0

    def wrote(self, size: int) -> None:
        """Count `size` bytes more; brings them to the disk when there are enough, and nothing else is on its way.

        Raises OSError where the disk could not take what was brought to it before.
        """
        self._waiting += size
        if self._waiting < SYNCED_AT_ONCE or (self._running and not self._running.done()):
            return
        if self._running:
            self._running.result()
        self._running = self._thread.submit(os.fsync, self._descriptor)
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None and self._running:
            self._running.result()


def is_clean(text: str) -> bool:
    """Say whether a name holds only letters, signs and spaces of any width: nothing that steers a terminal or hides."""
    return text.isprintable() or all(letter.isprintable() or category(letter) == "Zs" for letter in text)


def sync(path: Path) -> None:
    """Fsync a file, or a folder, so that the names in it survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused."""
    with whole_file(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")
