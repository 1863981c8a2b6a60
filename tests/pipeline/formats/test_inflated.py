"""A member of a zip read by our own unpacking: the bytes that zipfile gives, and every damage noticed."""

import zipfile
from pathlib import Path
from random import Random

import pytest

from pipeline.errors import ArchiveError
from pipeline.formats.opening import opened

CONTENT = b"".join(b'{"name": "%d.jpg", "labels": [%d]}, ' % (n, Random(n).getrandbits(64)) for n in range(20_000))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "labels.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("before.json", b"[]")
        made.writestr("labels.json", CONTENT)
        made.writestr("stored.json", CONTENT, zipfile.ZIP_STORED)
        made.writestr("empty.json", b"")
    return path


def content(path: Path, member: str, most: int) -> bytes:
    pieces = []
    with opened(path, member) as read:
        while piece := read(most):
            assert len(piece) <= max(most, 4)
            pieces.append(piece)
        assert read(most) == b""
    return b"".join(pieces)


@pytest.mark.parametrize("member", ["labels.json", "stored.json"])
@pytest.mark.parametrize("most", [1000, 1 << 22])
def test_a_member_is_read_whole_a_piece_at_a_time(archive: Path, member: str, most: int) -> None:
    assert content(archive, member, most) == CONTENT
    assert content(archive, "empty.json", most) == b""


def damaged(archive: Path, at: int, byte: int) -> None:
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo("labels.json").header_offset + len("labels.json") + 30
    with archive.open("r+b") as file:
        file.seek(start + at)
        file.write(bytes([byte]))


@pytest.mark.parametrize("at", [0, 1, 5_000, 90_000])
def test_no_damage_goes_unnoticed(archive: Path, at: int) -> None:
    before = archive.read_bytes()
    for byte in (0x00, 0x55, 0xFF):
        archive.write_bytes(before)
        damaged(archive, at, byte)
        if archive.read_bytes() != before:
            with pytest.raises(ArchiveError, match=r"labels.zip/labels.json: the archive is damaged or encrypted"):
                content(archive, "labels.json", 1 << 16)


def test_a_member_of_another_crc_or_size_than_it_says_is_refused(archive: Path) -> None:
    before = archive.read_bytes()
    entry = before.rindex(b"labels.json", 0, before.rindex(b"stored.json")) - 46
    for field, size in ((16, 4), (20, 4), (24, 4)):  # CRC-32, packed size, size in the directory (APPNOTE 4.3.12)
        changed = bytearray(before)
        number = int.from_bytes(changed[entry + field : entry + field + size], "little")
        changed[entry + field : entry + field + size] = (number - 1).to_bytes(size, "little")
        archive.write_bytes(changed)
        with pytest.raises(ArchiveError, match="damaged"):
            content(archive, "labels.json", 1 << 16)


def test_an_encrypted_member_is_refused(archive: Path) -> None:
    changed = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        local = opened.getinfo("labels.json").header_offset
    entry = changed.rindex(b"labels.json", 0, changed.rindex(b"stored.json")) - 46
    changed[local + 6] |= 1
    changed[entry + 8] |= 1
    archive.write_bytes(changed)
    with pytest.raises(ArchiveError, match="encrypted"):
        content(archive, "labels.json", 1 << 16)
