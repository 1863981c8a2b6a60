"""An HDF5 file written whole or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARGIN = 8 << 20
"""Bytes of an HDF5 file beside its tensors, and for what else writes to the disk meanwhile; that of a ResNet-101 with
its optimizer takes 0.7 million."""


@contextmanager
def replaced_file(path: Path, size: int) -> Iterator[Path]:
    """Yield a path to write to; when the block ends without an error, that file replaces `path` as a whole.

    Raises:
        OSError: ENOSPC, before anything is written, where `size` bytes and MARGIN don't fit on the disk: HDF5, when it
            meets a full disk itself, may end the process.
    """
    if shutil.disk_usage(path.parent).free < size + MARGIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what writers left that died in a `replaced_file` of `folder`; those that live keep theirs."""
    for path in folder.glob(".*.part*"):
        writer = re.fullmatch(r"\..+\.(\d+)\.part(\.\w+)?", path.name)
        if writer and not _lives(int(writer[1])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Say whether another process than this one has that number now."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's
    return process != os.getpid()
