"""Files written whole or not at all: written under another name, fsynced, renamed."""

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
"""Bytes of a name to which something is added; file systems take 255."""
SYNCED_AT_ONCE = 256 << 20
"""Bytes after which a large file is brought to the disk, while more of it is written."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` only when the block ends without an error."""
    encoded = os.fsencode(path.name)
    name = path.name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()
    partial = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


class EarlySync:
    """Brings what was written of a large file to the disk while more is written: `with EarlySync(file) as sync: …`.

    The fsync at its end then finds little left to do. An error of the disk is raised at the block's end: the system
    reports it once, so a later fsync would not see it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._thread = ThreadPoolExecutor(1)
        self._syncs: list[Future[None]] = []
        self._unsynced = 0

    def wrote(self, size: int) -> None:
        """Count `size` more bytes as written."""
        self._unsynced += size
        if self._unsynced >= SYNCED_AT_ONCE:
            self._syncs.append(self._thread.submit(os.fsync, self._descriptor))
            self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for sync in self._syncs:
                sync.result()


def is_clean(text: str) -> bool:
    """Return whether a name holds only printable characters and spaces of any width, no control or hidden ones."""
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
