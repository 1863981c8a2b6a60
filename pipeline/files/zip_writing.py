"""Zip archives of stored members, whose bytes depend on nothing but the names and contents of the members.

Members have their room before their content, so that several threads can write them; that makes it faster than
`zipfile.ZipFile.writestr`.
"""

import errno
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
EARLIEST_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that the format knows."""
ON_UNIX = 3
READABLE_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Slot:
    """The room of a member in the archive: where it starts, and its header, which its content follows."""

    offset: int
    header: bytes


class StoredZip:
    """A zip archive being written to `file`, which must be empty; `close` writes its directory.

    One thread reserves the room of the members in order, and any threads fill it in any order.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file, "w")
        self._descriptor = file.fileno()
        self.size = 0
        """Bytes reserved so far."""

    def reserve(self, name: str, size: int, crc32: int) -> Slot:
        """Append room for a member of `size` bytes whose CRC is `crc32`."""
        info = zipfile.ZipInfo(name, EARLIEST_DATE)
        info.create_system, info.external_attr = ON_UNIX, READABLE_FILE
        info.file_size = info.compress_size = size
        info.CRC, info.header_offset = crc32, self.size
        slot = Slot(self.size, info.FileHeader())
        self._archive.filelist.append(info)
        self.size += len(slot.header) + size
        return slot

    def fill(self, slots: Sequence[Slot], contents: Sequence[bytes]) -> None:
        """Write the contents of some members (512 at most) that follow one another in the archive."""
        pieces = [piece for slot, content in zip(slots, contents, strict=True) for piece in (slot.header, content)]
        _write_at(self._descriptor, pieces, slots[0].offset)

    def add_file(self, name: str, path: Path) -> None:
        """Append a file as a member, in pieces: it is read twice, as its CRC stands before it."""
        size, crc32 = 0, 0
        with path.open("rb") as content:
            while chunk := content.read(CHUNK):
                crc32 = zlib.crc32(chunk, crc32)
                size += len(chunk)
            slot = self.reserve(name, size, crc32)
            at = slot.offset
            content.seek(0)
            for piece in chain([slot.header], iter(lambda: content.read(CHUNK), b"")):
                _write_at(self._descriptor, [piece], at)
                at += len(piece)

    def close(self) -> None:
        """Write the directory, with which the archive is complete; `file` itself stays open."""
        self._archive.start_dir = self.size
        self._archive.close()
        self.size = os.fstat(self._descriptor).st_size


def _write_at(descriptor: int, pieces: list[bytes], offset: int) -> None:
    """Write all of `pieces`, one after the other, from `offset` on; a disk that is full takes a part of them."""
    if os.pwritev(descriptor, pieces, offset) < sum(map(len, pieces)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
