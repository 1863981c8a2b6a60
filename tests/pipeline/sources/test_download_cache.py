"""What is kept of downloads, how it gets into artifacts, and what is asked of Google Drive."""

import inspect
import json
import os
import shutil
from pathlib import Path

import gdown
import pytest

from pipeline.errors import SourceError
from pipeline.sources import drive
from pipeline.sources.download_cache import link_or_copy, read_record, safe_name, whole_folder


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("/a/b/images.zip", "images.zip"),
        ("..", "download"),
        ("../../etc/passwd", "passwd"),
        ("c:\\evil\\x y.zip", "x y.zip"),
        ("", "download"),
        (".hidden", "hidden"),
        ("a\nb.zip", "a_b.zip"),
        ("üüü (1).zip", "üüü (1).zip"),
        ("Bild\u202f1\x00\u200b\ud800.jpg", "Bild\u202f1___.jpg"),
        ("ü" * 300 + ".zip", "ü" * 98 + ".zip"),
        ("content.json", "file-content.json"),
        ("/labels/download.json", "file-download.json"),
        ("Lock", "file-Lock"),
        ("content.part", "file-content.part"),
        ("incoming/", "file-incoming"),
    ],
)
def test_a_server_s_name_for_a_file_is_only_a_name(given, safe):
    assert safe_name(given) == safe


def test_a_file_system_that_can_t_link_gets_a_copy(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")

    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "file", tmp_path / "files" / "file")
    assert (tmp_path / "files" / "file").read_bytes() == b"x"


def test_a_copy_that_finds_the_disk_full_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")

    def refuse(number):
        def fail(_, target):
            Path(target).write_bytes(b"half") if number == 28 else None
            raise OSError(number, os.strerror(number))

        return fail

    monkeypatch.setattr(os, "link", refuse(18))
    monkeypatch.setattr(shutil, "copyfile", refuse(28))
    with pytest.raises(OSError, match="No space left"):
        link_or_copy(tmp_path / "file", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_folder_is_filled_whole_or_not_at_all(tmp_path):
    def fail(folder):
        (folder / "half").write_bytes(b"")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        whole_folder(tmp_path / "sample", "the sample", fail)
    assert not (tmp_path / "sample").exists()
    whole_folder(tmp_path / "sample", "the sample", lambda folder: (folder / "whole").write_bytes(b""))
    whole_folder(tmp_path / "sample", "the sample", fail)
    assert [path.name for path in (tmp_path / "sample").iterdir()] == ["whole"]


@pytest.mark.parametrize("record", [b"", b"{", b'{"name": 5}', b"[1]", b"\xff"])
def test_a_damaged_record_is_none(tmp_path, record):
    (tmp_path / "download.json").write_bytes(record)
    assert read_record(tmp_path) is None


def test_a_record_without_a_length_is_of_a_file_of_its_size(tmp_path):
    """As they were written before November 2026."""
    record = {"address": "x", "name": "a.bin", "etag": None, "last_modified": None, "size": 3, "complete": True}
    (tmp_path / "download.json").write_text(json.dumps(record))
    assert read_record(tmp_path) is None
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert read_record(tmp_path).length == 3
    (tmp_path / "a.bin").write_bytes(b"abcd")
    assert read_record(tmp_path) is None


DRIVE_ID = "1aB-cD_eF0123456789"


def test_a_drive_file_is_fetched_once_by_its_id(tmp_path, monkeypatch):
    """Drive itself can't be had in a test: this shows what is asked of gdown and what is made of its answer."""
    calls = []

    def fake(**asked):
        calls.append(asked)
        asked["progress"](3, 6)
        file = Path(asked["output"], "labels export.json")
        file.write_bytes(b'{"a":1}')
        return str(file)

    monkeypatch.setattr(gdown, "download", fake)
    file = drive.fetch(DRIVE_ID, "source.images", tmp_path)
    assert (file.name, file.read_bytes()) == ("labels export.json", b'{"a":1}')
    assert drive.fetch(DRIVE_ID, "source.images", tmp_path) == file
    (asked,) = calls
    assert (asked["id"], asked["resume"]) == (DRIVE_ID, True)


def test_what_is_asked_of_gdown_is_what_it_takes(tmp_path, monkeypatch):
    calls = []
    signature = inspect.signature(gdown.download)

    def check(**asked):
        signature.bind(**asked)
        calls.append(asked)
        raise gdown.FileURLRetrievalError("Too many users have viewed\n or downloaded this file")

    monkeypatch.setattr(gdown, "download", check)
    with pytest.raises(
        SourceError, match=r"source\.images: gdrive:1aB.* can't be fetched: Too many users have viewed or"
    ):
        drive.fetch(DRIVE_ID, "source.images", tmp_path)
    assert calls
