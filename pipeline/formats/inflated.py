"""A deflated member of a zip, unpacked as it is read: as `zipfile` does it, two to three times as fast.

Which members are label files is found in `pipeline.sources.raw_labels`, opening any of them is in `label_file`.
"""

import zipfile
from collections.abc import Callable
from copy import copy
from typing import IO

from isal import isal_zlib

PIECE = 1 << 16
"""Packed bytes that are unpacked at a time."""


def inflated(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[IO[bytes], Callable[[int], bytes]]:
    """Return the member's packed bytes, to be closed, and a function that reads on, at most so many bytes at a time.

    Raises EOFError, BadZipFile or isal_zlib.IsalError when the member is damaged: also at its end, by its CRC and size.
    """
    packed = archive.open(_stored(info))
    unpacker = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    crc = size = 0

    def read(most: int) -> bytes:
        nonlocal crc, size
        while not unpacker.eof:
            given = unpacker.unconsumed_tail or packed.read(PIECE)
            piece = unpacker.decompress(given, most)
            if piece:
                crc, size = isal_zlib.crc32(piece, crc), size + len(piece)
                return piece
            if not given:
                raise EOFError(f"{info.filename} ends too early")
        if (crc, size) != (info.CRC, info.file_size):
            raise zipfile.BadZipFile(f"{info.filename} has another CRC-32 or size than its archive says")
        return b""

    return packed, read


def _stored(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Return the member as if its packed bytes were its content; without a CRC, since theirs is known to nobody."""
    packed = copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC
    return packed
