"""Files written whole or not at all: written under another name, fsynced, renamed."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from unicodedata import category

LONGEST_NAME = 200
"""Bytes of a name to which something is added; file systems take 255."""


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
