"""Atomic writing of HDF5 files."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARGIN = 8 << 20
"""Bytes of free space required beyond the tensors: for HDF5's metadata (0.7 million for ResNet-101 with its optimizer)
and for other writers."""


@contextmanager
def atomic_write(path: Path, size: int) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block ends without an error, that file replaces `path` atomically.

    Raises:
        OSError: ENOSPC, before anything is written, if less than `size` + MARGIN bytes are free: HDF5 itself may end
            the process on a full disk.
    """
    if shutil.disk_usage(path.parent).free < size + MARGIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of `atomic_write` in `folder` whose processes no longer run."""
    for path in folder.glob(".*.part*"):
        writer = re.fullmatch(r"\..+\.(\d+)\.part(\.\w+)?", path.name)
        if writer and not _is_running(int(writer[1])):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Return whether another process with this id runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's
    return process != os.getpid()
