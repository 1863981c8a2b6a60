"""Google Drive as gdown sees it: its own code, led to a server on this machine that stands in for Drive."""

import random
import threading
from importlib import import_module

import pytest
import requests

from pipeline.errors import SourceError
from pipeline.sources import drive
from tests.pipeline.file_server import serving

FILE_ID = "1aB-cD_eF0123456789"
KEY = "source.labels"
CHUNK = 512 << 10
"""Bytes that gdown writes at once: of a connection that breaks, what came of the next such piece is lost."""
PLACE = f"https://drive.google.com/uc?id={FILE_ID}"


@pytest.fixture
def shared(behaviour, tmp_path, monkeypatch):
    """Return the behaviour of the server that gdown takes for Drive; it waits no time between its tries."""
    behaviour.content = bytes(range(256)) * (4 * CHUNK // 256)
    behaviour.headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="labels export"',
    }
    real_get = requests.Session.get
    monkeypatch.setattr(import_module("gdown.download"), "DEFAULT_COOKIES_FILE", str(tmp_path / "cookies.txt"))
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)
    with serving(behaviour) as server:

        def get(session, address, **asked):
            assert address == PLACE
            return real_get(session, f"{server}/uc", **asked)

        monkeypatch.setattr(requests.Session, "get", get)
        yield behaviour


def ranges(behaviour):
    return [request.get("Range") for request in behaviour.requests]


def part(downloads):
    (found,) = downloads.rglob("*.part")
    return found


@pytest.fixture
def broken_off(shared, downloads, monkeypatch):
    """Return the server's behaviour after a download from it broke off, with its first piece here."""
    shared.break_after = [CHUNK + 1000]
    with monkeypatch.context() as patch:
        patch.setattr(drive, "TRIES_AGAIN", 0)
        with pytest.raises(SourceError, match=rf"{KEY}: gdrive:{FILE_ID} can't be fetched: Download is incomplete"):
            drive.fetch(FILE_ID, KEY, downloads)
    assert part(downloads).stat().st_size == CHUNK
    shared.requests.clear()
    return shared


def test_a_shared_file_comes_whole_under_its_own_name_and_once(shared, downloads):
    file = drive.fetch(FILE_ID, KEY, downloads)
    assert (file.name, file.read_bytes()) == ("labels export", shared.content)
    assert drive.fetch(FILE_ID, KEY, downloads) == file
    assert ranges(shared) == [None]


def test_a_dropped_connection_is_taken_up_where_it_broke(shared, downloads):
    shared.break_after = [CHUNK + 1000, CHUNK + 2000]
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == shared.content
    assert ranges(shared) == [None, f"bytes={CHUNK}-", f"bytes={2 * CHUNK}-"]


def test_what_a_broken_off_download_left_is_continued(broken_off, downloads):
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == broken_off.content
    assert ranges(broken_off)[-1] == f"bytes={CHUNK}-"
    assert not list(downloads.rglob("*.part"))


def refused(downloads):
    with pytest.raises(SourceError, match="run it again: it is fetched from its start"):
        drive.fetch(FILE_ID, KEY, downloads)


def test_without_ranges_what_is_here_is_fetched_again(broken_off, downloads):
    broken_off.ranges = False
    refused(downloads)
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == broken_off.content


def test_a_download_killed_at_its_last_byte_is_not_stuck_for_good(broken_off, downloads):
    part(downloads).write_bytes(broken_off.content)
    refused(downloads)
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == broken_off.content


def test_a_file_that_shrank_below_what_is_here_is_fetched_anew(broken_off, downloads):
    broken_off.content = b"little"
    refused(downloads)
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == b"little"


def test_a_server_that_stays_away_keeps_what_is_here(broken_off, downloads):
    broken_off.break_after = [0] * 20
    with pytest.raises(SourceError, match="Download is incomplete"):
        drive.fetch(FILE_ID, KEY, downloads)
    assert part(downloads).stat().st_size == CHUNK


def test_a_server_that_is_only_busy_keeps_what_is_here(broken_off, downloads):
    broken_off.statuses = [503] * 20
    with pytest.raises(SourceError, match=rf"{KEY}: gdrive:{FILE_ID} can't be fetched"):
        drive.fetch(FILE_ID, KEY, downloads)
    assert part(downloads).stat().st_size == CHUNK
    broken_off.statuses = []
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == broken_off.content


QUOTA = b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>'
LOGIN = b"<!DOCTYPE html><title>Sign in - Google Accounts</title>"


@pytest.mark.parametrize(
    ("headers", "page", "said"),
    [
        ({"Content-Type": "text/html"}, QUOTA, "can't be fetched: .*Too many users have viewed .*is it shared with"),
        ({"Content-Type": "text/html"}, LOGIN, "can't be fetched: .*change the permission to 'Anyone with the link'"),
        ({}, LOGIN, "gave a web page in place of a file"),
    ],
)
def test_a_page_of_drive_s_is_not_the_file(shared, downloads, headers, page, said):
    whole, shared.content = shared.content, page
    kept, shared.headers = shared.headers, headers or shared.headers
    with pytest.raises(SourceError, match=rf"{KEY}: gdrive:{FILE_ID} {said}"):
        drive.fetch(FILE_ID, KEY, downloads)
    shared.content, shared.headers = whole, kept
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == whole


def test_a_name_that_leads_out_of_the_folder_is_only_a_name(shared, downloads):
    shared.headers["Content-Disposition"] = 'attachment; filename="../../.evil.json"'
    file = drive.fetch(FILE_ID, KEY, downloads)
    assert file.is_relative_to(downloads / f"gdrive-{FILE_ID}")
    assert not file.name.startswith(".")


def test_a_stopped_download_says_so_and_is_continued(shared, downloads):
    stop = threading.Event()
    shared.on_body = stop.set
    with pytest.raises(SourceError, match=rf"{KEY}: the download of gdrive:{FILE_ID} was stopped"):
        drive.fetch(FILE_ID, KEY, downloads, stop)
    shared.on_body = None
    assert drive.fetch(FILE_ID, KEY, downloads).read_bytes() == shared.content
