"""Label files opened: in memory, mapped, or unpacked from a zip, whose damage never goes unnoticed."""

import errno
import zipfile
from pathlib import Path
from random import Random

import pytest

from pipeline.errors import ArchiveError
from pipeline.formats import content as contents
from pipeline.formats.content import opened

CONTENT = b"".join(b'{"name": "%d.jpg", "labels": [%d]}, ' % (n, Random(n).getrandbits(64)) for n in range(5_000))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "labels.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("before.json", b"[]")
        made.writestr("labels.json", CONTENT)
        made.writestr("stored.json", CONTENT, zipfile.ZIP_STORED)
        made.writestr("empty.json", b"")
    return path


@pytest.fixture(params=[0, 1 << 30], ids=["mapped", "in memory"], autouse=True)
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """From how many bytes on files are mapped."""
    monkeypatch.setattr(contents, "LARGE", max(request.param, 1))
    return request.param == 0


def content(path: Path, member: str | None = None) -> bytes:
    with opened(path, member) as found:
        return bytes(found.data)


@pytest.mark.parametrize("member", ["labels.json", "stored.json"])
def test_a_member_is_read_whole_as_a_file_is(archive: Path, member: str) -> None:
    assert content(archive, member) == CONTENT
    assert content(archive, "empty.json") == b""
    plain = archive.with_name("plain.json")
    plain.write_bytes(CONTENT)
    assert content(plain) == CONTENT


def test_what_was_unpacked_is_gone_at_the_end(archive: Path, tmp_path: Path, large: bool) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with opened(archive, "labels.json", scratch=scratch) as found:
        assert bytes(found.data) == CONTENT
        assert (found.path is not None) == bool(list(scratch.iterdir())) == large
    assert not list(scratch.iterdir())


def test_a_full_disk_is_no_fault_of_the_file(archive: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(contents.shutil, "copyfileobj", full)
    if large:
        with pytest.raises(OSError, match="No space left"):
            content(archive, "labels.json")


@pytest.mark.parametrize("at", [0, 1, 5_000, 40_000])
def test_all_damage_is_detected(archive: Path, at: int) -> None:
    before = archive.read_bytes()
    with zipfile.ZipFile(archive) as made:
        start = made.getinfo("labels.json").header_offset + len("labels.json") + 30
    for byte in (0x00, 0x55, 0xFF):
        changed = bytearray(before)
        changed[start + at] = byte
        archive.write_bytes(changed)
        if changed != before:
            with pytest.raises(ArchiveError, match=r"labels.zip/labels.json: the archive is damaged or encrypted"):
                content(archive, "labels.json")


def test_a_member_with_a_wrong_crc_or_size_is_refused(archive: Path) -> None:
    before = archive.read_bytes()
    entry = before.rindex(b"labels.json", 0, before.rindex(b"stored.json")) - 46
    for field in (16, 24):  # CRC-32 and size in the directory (APPNOTE 4.3.12)
        changed = bytearray(before)
        number = int.from_bytes(changed[entry + field : entry + field + 4], "little")
        changed[entry + field : entry + field + 4] = (number - 1).to_bytes(4, "little")
        archive.write_bytes(changed)
        with pytest.raises(ArchiveError, match="damaged"):
            content(archive, "labels.json")


def test_an_encrypted_member_is_refused(archive: Path) -> None:
    changed = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as made:
        local = made.getinfo("labels.json").header_offset
    entry = changed.rindex(b"labels.json", 0, changed.rindex(b"stored.json")) - 46
    changed[local + 6] |= 1
    changed[entry + 8] |= 1
    archive.write_bytes(changed)
    with pytest.raises(ArchiveError, match="encrypted"):
        content(archive, "labels.json")
