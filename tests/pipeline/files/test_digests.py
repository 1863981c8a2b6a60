"""Digests of files: remembered, and never in the way of another process."""

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.files import data_folder, digests

DAY = 86_400


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were last changed some days ago; the memory is the test's own."""
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    paths = [tmp_path / f"{number}.bin" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 1000)
        os.utime(path, (DAY, DAY + number))
    return paths


def read_ones(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows with each file that is read."""
    seen: list[Path] = []
    real = digests._read

    def read(path: Path, *more: object) -> str:
        seen.append(path)
        return real(path, *more)

    monkeypatch.setattr(digests, "_read", read)
    return seen


def test_a_file_is_read_again_only_when_it_changed(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = read_ones(monkeypatch)
    found = digests.digests(files)
    assert found == [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    files[2].write_bytes(b"other")
    os.utime(files[2], (DAY, DAY + 9))
    assert digests.digests(files)[2] == hashlib.sha256(b"other").hexdigest()
    assert sorted(seen) == sorted([*files, files[2]])


def test_another_process_can_write_while_files_are_read(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    digests.digests(files[:1])
    memory = data_folder() / ".hashes" / "digests.sqlite"
    real = digests._read

    def read(path: Path, *more: object) -> str:
        with closing(sqlite3.connect(memory, timeout=0)) as other, other:
            other.execute("DELETE FROM seen WHERE path = 'none'")
        return real(path, *more)

    monkeypatch.setattr(digests, "_read", read)
    monkeypatch.setattr(digests, "ordered_map", lambda read, files, batch_size: map(read, files))
    assert len(digests.digests(files)) == len(files)


def test_another_file_of_the_same_size_and_time_is_read(files: list[Path]) -> None:
    """As two that were unpacked from archives in which all files are of 1980."""
    before = digests.digest(files[0])
    other = files[0].with_suffix(".new")
    other.write_bytes(b"x" * 1000)
    os.utime(other, (DAY, DAY))
    other.replace(files[0])
    assert digests.digest(files[0]) == hashlib.sha256(b"x" * 1000).hexdigest() != before


def test_a_memory_that_can_t_be_read_is_named(files: list[Path]) -> None:
    file = data_folder() / ".hashes" / "digests.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all")
    with pytest.raises(SourceError, match=r"digests\.sqlite: file is not a database; remove it, and files are hashed"):
        digests.digest(files[1])


def test_a_file_changed_a_moment_ago_is_not_trusted_to_stay(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"[1]")
    first = digests.digest(path)
    stamp = path.stat().st_mtime_ns
    path.write_bytes(b"[2]")
    os.utime(path, ns=(stamp, stamp))
    assert digests.digest(path) != first
