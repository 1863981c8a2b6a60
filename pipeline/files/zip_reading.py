"""Zip archives as untrusted input: their members, and where the bytes of these lie; nothing is unpacked."""

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.errors import ArchiveError

Compression = Literal["stored", "deflate"]

LOCAL_HEADER = struct.Struct("<4s22xHH")
LOCAL_SIGNATURE = b"PK\x03\x04"
METHODS: dict[int, Compression] = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflate"}
ENCRYPTED = 1
BOMB_BYTES = 64 << 20
BOMB_RATIO = 400
"""A member that inflates to more than both is a bomb; label files, which pack best, reach a ratio of about 50."""


@dataclass(frozen=True)
class Member:
    """A file inside an archive: `length` are the bytes it takes there, `size` those inflated."""

    path: str
    """Its folders and name, with forward slashes."""
    name: str
    """The same as the archive spells it, and as `zipfile` knows it."""
    header_offset: int
    length: int
    size: int
    crc: int
    compression: Compression


@dataclass(frozen=True)
class Archive:
    """A zip archive's files, in the order of their bytes; `repeated` are those whose name comes again after them."""

    members: tuple[Member, ...]
    repeated: tuple[Member, ...]


def is_zip(path: Path) -> bool:
    """Return whether a file starts or ends as a zip archive does (a truncated one still starts so)."""
    with path.open("rb") as file:
        return file.read(4) in (LOCAL_SIGNATURE, b"PK\x05\x06") or zipfile.is_zipfile(path)


def read_archive(path: Path) -> Archive:
    """List an archive's files after checking every name, size and offset.

    Raises ArchiveError when it is truncated, no zip, encrypted, packed by a method other than stored or deflate, when
    a name leads out of its folder, members overlap, or one is a bomb.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            infos = opened.infolist()
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, UnicodeDecodeError, ValueError) as error:
        raise ArchiveError(f"{path} is truncated or not a zip archive ({error}); copy or download it again") from error
    # ZipInfo.is_dir fails on an empty name.
    members = [_member(path, info) for info in infos if not info.orig_filename.endswith(("/", "\\"))]
    last = {member.path: member for member in members}
    members.sort(key=lambda member: member.header_offset)
    _refuse_overlaps(path, members)
    repeated = tuple(member for member in members if last[member.path] is not member)
    return Archive(tuple(member for member in members if last[member.path] is member), repeated)


def data_offset(descriptor: int, member: Member, archive: Path) -> int:
    """Return where a member's bytes start in the open archive; raises ArchiveError when its header is not there."""
    header = os.pread(descriptor, LOCAL_HEADER.size, member.header_offset)
    if len(header) < LOCAL_HEADER.size:
        raise ArchiveError(f"{archive} is truncated: {member.path} lies beyond its end; copy or download it again")
    signature, name_length, extra_length = LOCAL_HEADER.unpack(header)
    if signature != LOCAL_SIGNATURE:
        raise ArchiveError(f"{archive} is damaged: {member.path} does not start where the archive says")
    return member.header_offset + LOCAL_HEADER.size + name_length + extra_length


def is_bomb(info: zipfile.ZipInfo) -> bool:
    """Return whether a member declares to inflate to more than is believable."""
    return info.file_size > max(BOMB_BYTES, BOMB_RATIO * info.compress_size)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return a member's content, of the size that it declares whatever it inflates to; raises as `zipfile` does."""
    with archive.open(info) as member:
        return member.read(info.file_size)  # without a size it is inflated by gigabytes first


def inflate(data: bytes, size: int) -> bytes:
    """Return deflated `data` inflated to exactly `size` bytes; raises ValueError where it doesn't inflate to that."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) != size or not inflater.eof:
        raise ValueError(f"does not inflate to the {size:,} bytes that it declares")
    return content


def _member(archive: Path, info: zipfile.ZipInfo) -> Member:
    if info.flag_bits & ENCRYPTED:
        raise ArchiveError(f"{archive} is encrypted ({info.orig_filename!r}): unpack it and give the folder")
    if info.compress_type not in METHODS:
        raise ArchiveError(
            f"{archive}: {info.orig_filename!r} is packed by method {info.compress_type}; repack it stored or deflated"
        )
    compression = METHODS[info.compress_type]
    if is_bomb(info):
        sizes = f"{info.compress_size:,} to {info.file_size:,} bytes"
        raise ArchiveError(f"{archive}: {info.orig_filename!r} would inflate from {sizes}: refused")
    path = _safe_path(archive, info.orig_filename)
    return Member(path, info.filename, info.header_offset, info.compress_size, info.file_size, info.CRC, compression)


def _safe_path(archive: Path, name: str) -> str:
    path = name.replace("\\", "/")
    parts = PurePosixPath(path).parts
    if "\0" in path or path.startswith("/") or ".." in parts or path[1:2] == ":" or not parts:
        raise ArchiveError(f"{archive}: the name {name!r} leads out of the archive: refused")
    return path


def _refuse_overlaps(path: Path, members: list[Member]) -> None:
    """Refuse archives whose members share bytes: a small file that inflates without end."""
    size = path.stat().st_size
    ends = [*(member.header_offset for member in members[1:]), size]
    for member, end in zip(members, ends, strict=False):  # without members, there is the size alone
        if not 0 <= member.header_offset <= end - LOCAL_HEADER.size - member.length:
            what = "is truncated" if end == size else "has members that overlap"
            raise ArchiveError(f"{path} {what} at {member.path}; copy or download it again")
