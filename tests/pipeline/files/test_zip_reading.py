"""Zip archives from anywhere: what is read of them, and what is refused."""

import tracemalloc
import zipfile
import zlib
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ArchiveError
from pipeline.files.zip_reading import data_offset, inflate, is_zip, read_archive, read_member
from tests.pipeline.small_sources import zip_of


def test_members_are_listed_where_their_bytes_lie(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"b/second.txt": b"22", "a/first.txt": b"1"})
    archive = read_archive(path)
    assert [member.path for member in archive.members] == ["b/second.txt", "a/first.txt"]
    with path.open("rb") as file:
        offsets = [data_offset(file.fileno(), member, path) for member in archive.members]
    content = path.read_bytes()
    assert [
        content[offset : offset + member.length] for offset, member in zip(offsets, archive.members, strict=True)
    ] == [
        b"22",
        b"1",
    ]


def test_an_archive_cut_anywhere_is_named_as_truncated(tmp_path):
    whole = zip_of(tmp_path / "whole.zip", {f"{n}.txt": bytes(100) for n in range(5)}).read_bytes()
    for length in (3, 50, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut.zip"
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"cut\.zip is truncated"):
            read_archive(cut)


def test_a_directory_that_points_beyond_the_end_is_a_truncated_archive(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"one.txt": bytes(1000), "two.txt": bytes(1000)})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = (10**6).to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="truncated"):
        read_archive(path)


@pytest.mark.parametrize(
    "name", ["../up.jpg", "/etc/passwd", "a/../../up.jpg", "C:/x.jpg", "..\\up.jpg", "\\\\host\\x"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    path = zip_of(tmp_path / "hostile.zip", {"fine.txt": b"", name: b"x"})
    with pytest.raises(ArchiveError, match=r"hostile\.zip: the name .* leads out"):
        read_archive(path)


def test_backslashes_written_by_windows_are_folders(tmp_path):
    path = zip_of(tmp_path / "windows.zip", {"images\\train\\a.jpg": b"x"})
    assert [member.path for member in read_archive(path).members] == ["images/train/a.jpg"]


def test_a_bomb_is_refused_by_what_it_declares(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.json", "w") as member:
        for _ in range(70):
            member.write(bytes(1 << 20))
    with pytest.raises(ArchiveError, match=r"'zeros\.json' would inflate"):
        read_archive(path)


def test_members_that_share_bytes_are_refused(tmp_path):
    path = zip_of(tmp_path / "shared.zip", {"one.txt": bytes(500), "two.txt": bytes(500)})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 42 : at + 46] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="overlap"):
        read_archive(path)


def test_encrypted_and_strangely_packed_members_are_named(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"secret.txt": b"x"})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"encrypted \('secret\.txt'\)"):
        read_archive(path)
    with pytest.raises(ArchiveError, match=r"'x\.txt' is packed by method 14"):
        read_archive(zip_of(tmp_path / "lzma.zip", {"x.txt": b"x"}, zipfile.ZIP_LZMA))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("reordered", "counts"), [(False, 5), (True, 3)])
def test_of_a_name_given_twice_the_last_in_the_directory_counts_as_for_zipfile(tmp_path, reordered, counts):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"old")
        archive.writestr("a.txt", b"newer")
        if reordered:
            archive.filelist.reverse()
    archive = read_archive(path)
    assert [member.length for member in archive.members] == [counts] == [len(zipfile.ZipFile(path).read("a.txt"))]
    assert [member.length for member in archive.repeated] == [8 - counts]


WHOLE = {f"images/{n}.jpg": bytes([n]) * 40 for n in range(4)}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_whatever_bytes_of_an_archive_change_it_is_read_or_refused(tmp_path, changes):
    path = zip_of(tmp_path / "mutated.zip", WHOLE, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    path.write_bytes(content)
    with suppress(ArchiveError), path.open("rb") as file:
        for member in read_archive(path).members:
            assert data_offset(file.fileno(), member, path) > member.header_offset


@given(data=st.binary(max_size=200), size=st.integers(0, 300))
def test_what_inflates_to_another_size_or_not_at_all_is_refused(data, size):
    packed = zlib.compress(data, wbits=-15)
    if size == len(data):
        assert inflate(packed, size) == data
        return
    for wrong in (packed, packed[:-1]):
        with pytest.raises(ValueError, match="inflate"):
            inflate(wrong, size)


def test_a_zip_is_known_by_its_content(tmp_path):
    assert is_zip(zip_of(tmp_path / "named.json", {"a": b"b"}))
    (tmp_path / "plain.zip").write_bytes(b"not a zip at all, whatever its name says")
    assert not is_zip(tmp_path / "plain.zip")


def test_a_member_that_inflates_to_more_than_it_declares_takes_no_memory(tmp_path):
    path = tmp_path / "lying.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.json", bytes(1 << 28))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("labels.json")
        info.file_size = 1000
        tracemalloc.start()
        with pytest.raises(zipfile.BadZipFile, match="CRC"):
            read_member(archive, info)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
        tracemalloc.stop()
