"""Stored zips: read back by any program, and by zip_reading."""

import zipfile

from pipeline.files.zip_reading import read_archive
from pipeline.files.zip_writing import StoredZip


def write_stored(path, members):
    with path.open("wb") as file:
        archive = StoredZip(file)
        for name, data in members:
            archive.fill([archive.reserve(name, len(data), zipfile.crc32(data))], [data])
        archive.close()


def test_a_stored_zip_reads_back_with_any_program(tmp_path):
    members = [("images/a.jpg", b"abc"), ("images/ümlaut.jpg", b""), ("z", bytes(100_000))]
    write_stored(tmp_path / "s.zip", members)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.testzip() is None
        assert [(info.filename, archive.read(info)) for info in archive.infolist()] == members
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_stored_zip_of_more_members_than_16_bits_count_is_a_zip64(tmp_path):
    write_stored(tmp_path / "many.zip", [(f"{n}.jpg", b"x") for n in range(70_000)])
    with zipfile.ZipFile(tmp_path / "many.zip") as archive:
        assert len(archive.infolist()) == 70_000
        assert archive.read("69999.jpg") == b"x"
    assert len(read_archive(tmp_path / "many.zip").members) == 70_000


def test_a_stored_zip_goes_on_beyond_four_gigabytes(tmp_path):
    """Simulated on a sparse file: the first member is a hole of 4 GiB that takes no room."""
    path = tmp_path / "large.zip"
    hole = (4 << 30) + 5
    with path.open("wb") as file:
        archive = StoredZip(file)
        archive.fill([archive.reserve("hole.json", hole, 0)], [b""])
        archive.fill([archive.reserve("after.jpg", 5, zipfile.crc32(b"after"))], [b"after"])
        archive.close()
    with zipfile.ZipFile(path) as opened:
        assert opened.getinfo("hole.json").file_size == hole
        assert opened.getinfo("after.jpg").header_offset > hole
        assert opened.read("after.jpg") == b"after"
