"""Writes a zip archive of stored members whose bytes depend on nothing but names and contents; ZIP64 where it is due.

Faster than `zipfile` for many small members, since their CRC is known beforehand. What is put in lives elsewhere.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
LIMIT_32 = 0xFFFFFFFF
LIMIT_16 = 0xFFFF
UTF_8 = 0x800
FIRST_OF_1980 = 0x21
"""1980-01-01, the earliest day that the format knows, at midnight."""
PLAIN, ZIP64 = 20, 45
"""The version of the format (APPNOTE.TXT 4.4.3) that a reader needs."""
ON_UNIX = 3 << 8
READABLE_FILE = 0o100644 << 16

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END_64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR_64 = struct.Struct("<4sIQI")


@dataclass(frozen=True)
class Slot:
    """The room of a member in the archive: where it starts, and its header, which its content follows."""

    offset: int
    header: bytes


class StoredZip:
    """A zip archive being written to `file`, which must be empty; `close` writes its directory.

    Room is reserved in order by one thread and filled in any order by several, since sizes are known beforehand. The
    layout is that of PKWARE's APPNOTE.TXT: local headers 4.3.7, directory 4.3.12, ZIP64 4.3.14 and 4.5.3.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._directory: list[bytes] = []
        self.size = 0
        """Bytes reserved so far."""

    def reserve(self, name: str, size: int, crc32: int) -> Slot:
        """Append room for a member of `size` bytes whose CRC is `crc32`."""
        encoded = name.encode()
        large = size >= LIMIT_32
        offset = self.size
        need = ZIP64 if large or offset >= LIMIT_32 else PLAIN
        shown = min(size, LIMIT_32)
        flags = 0 if name.isascii() else UTF_8
        common = (need, flags, 0, 0, FIRST_OF_1980, crc32, shown, shown, len(encoded))
        extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
        header = LOCAL.pack(b"PK\x03\x04", *common, len(extra)) + encoded + extra
        extra = _central_extra(size, offset)
        place = (len(extra), 0, 0, 0, READABLE_FILE, min(offset, LIMIT_32))
        self._directory.append(CENTRAL.pack(b"PK\x01\x02", ON_UNIX | need, *common, *place) + encoded + extra)
        self.size += len(header) + size
        return Slot(offset, header)

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
        start, count = self.size, len(self._directory)
        directory = b"".join(self._directory)
        end = b""
        if count >= LIMIT_16 or start >= LIMIT_32 or len(directory) >= LIMIT_32:
            sizes = (0, 0, count, count, len(directory), start)
            end = END_64.pack(b"PK\x06\x06", END_64.size - 12, ON_UNIX | ZIP64, ZIP64, *sizes)
            end += LOCATOR_64.pack(b"PK\x06\x07", 0, start + len(directory), 1)
        shown = min(count, LIMIT_16)
        end += END.pack(b"PK\x05\x06", 0, 0, shown, shown, min(len(directory), LIMIT_32), min(start, LIMIT_32), 0)
        _write_at(self._descriptor, [directory, end], start)
        self.size += len(directory) + len(end)


def _write_at(descriptor: int, pieces: list[bytes], offset: int) -> None:
    """Write all of `pieces`, one after the other, from `offset` on: the system may take less than it is given."""
    written = os.pwritev(descriptor, pieces, offset)
    if written < sum(map(len, pieces)):
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            offset += written
            written = os.pwrite(descriptor, rest, offset)
            rest = rest[written:]


def _central_extra(size: int, offset: int) -> bytes:
    """Return the ZIP64 field with those numbers that 32 bits can't hold, in the order that 4.5.3 prescribes."""
    numbers = ([size, size] if size >= LIMIT_32 else []) + ([offset] if offset >= LIMIT_32 else [])
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
