"""Writes a zip archive of stored members whose bytes depend on nothing but names and contents; ZIP64 where it is due.

Faster than `zipfile` for many small members, since their CRC is known beforehand. What is put in lives elsewhere.
"""

import struct
import zlib
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


class StoredZip:
    """A zip archive being written to `file`, which must be empty; `close` writes its directory.

    The layout is that of PKWARE's APPNOTE.TXT: local headers 4.3.7, directory 4.3.12, ZIP64 4.3.14 and 4.5.3.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._directory: list[bytes] = []
        self.size = 0
        """Bytes written so far."""

    def add(self, name: str, data: bytes, crc32: int) -> None:
        """Append a member; `crc32` is that of `data`."""
        self._header(name, len(data), crc32)
        self._file.write(data)
        self.size += len(data)

    def add_file(self, name: str, path: Path) -> None:
        """Append a file as a member, in pieces: it is read twice, as its CRC stands before it."""
        size, crc32 = 0, 0
        with path.open("rb") as content:
            while chunk := content.read(CHUNK):
                crc32 = zlib.crc32(chunk, crc32)
                size += len(chunk)
            self._header(name, size, crc32)
            content.seek(0)
            while chunk := content.read(CHUNK):
                self._file.write(chunk)
        self.size += size

    def close(self) -> None:
        """Write the directory, with which the archive is complete; `file` itself stays open."""
        start = self.size
        for entry in self._directory:
            self._write(entry)
        count, length = len(self._directory), self.size - start
        if count >= LIMIT_16 or start >= LIMIT_32 or length >= LIMIT_32:
            where = self.size
            self._write(
                END_64.pack(b"PK\x06\x06", END_64.size - 12, ON_UNIX | ZIP64, ZIP64, 0, 0, count, count, length, start)
            )
            self._write(LOCATOR_64.pack(b"PK\x06\x07", 0, where, 1))
        count, length, start = min(count, LIMIT_16), min(length, LIMIT_32), min(start, LIMIT_32)
        self._write(END.pack(b"PK\x05\x06", 0, 0, count, count, length, start, 0))

    def _header(self, name: str, size: int, crc32: int) -> None:
        encoded = name.encode()
        offset = self.size
        large = size >= LIMIT_32
        need = ZIP64 if large or offset >= LIMIT_32 else PLAIN
        flags = 0 if name.isascii() else UTF_8
        extra = struct.pack("<2H2Q", 1, 16, size, size) if large else b""
        shown = LIMIT_32 if large else size
        common = (need, flags, 0, 0, FIRST_OF_1980, crc32, shown, shown, len(encoded))
        self._write(LOCAL.pack(b"PK\x03\x04", *common, len(extra)) + encoded + extra)
        extra = _central_extra(size, offset)
        self._directory.append(
            CENTRAL.pack(
                b"PK\x01\x02", ON_UNIX | need, *common, len(extra), 0, 0, 0, READABLE_FILE, min(offset, LIMIT_32)
            )
            + encoded
            + extra
        )

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)


def _central_extra(size: int, offset: int) -> bytes:
    """Return the ZIP64 field with those numbers that 32 bits can't hold, in the order that 4.5.3 prescribes."""
    numbers = ([size, size] if size >= LIMIT_32 else []) + ([offset] if offset >= LIMIT_32 else [])
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
