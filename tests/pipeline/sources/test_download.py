"""Downloads: broken off, resumed, stopped, made again; servers that refuse, redirect or send something else."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import requests

from pipeline.errors import SourceError
from pipeline.sources import download
from pipeline.sources.download import CHUNK, RemoteIdentity, fetch, remote_identity, safe_name
from tests.pipeline.fetching import KEY, LARGE, get, identity_of
from tests.pipeline.file_server import serving
from tests.pipeline.small_sources import jpeg, zip_of

FETCH = """
import logging, msgspec, pathlib, sys
from pipeline.sources.download import fetch, RemoteIdentity
logging.basicConfig(level=logging.INFO)
identity = msgspec.json.decode(sys.argv[1], type=RemoteIdentity)
print(fetch(identity, 'key', pathlib.Path(sys.argv[2])).read_bytes().hex())
"""

DATES = ("Mon, 23 Nov 2026 10:00:00 GMT", "Mon, 23 Nov 2026 10:00:05 GMT")

CHANGES = [(('"one"', None), ('"two"', None)), (('W/"one"', DATES[0]), ('W/"one"', DATES[1]))]


def test_a_file_comes_whole_under_its_own_name_and_once(behaviour, address, downloads):
    file = get(behaviour, address, downloads)
    assert (file.name, file.read_bytes()) == ("images.bin", behaviour.content)
    assert get(behaviour, address, downloads) == file
    assert len(behaviour.requests) == 1


@pytest.mark.parametrize(("etag", "date"), [('"one"', None), ('W/"one"', DATES[0]), (None, DATES[0])])
def test_a_dropped_connection_is_taken_up_where_it_broke(behaviour, address, downloads, etag, date):
    behaviour.etag, behaviour.last_modified = etag, date
    behaviour.break_after = [100_000, 150_000]
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content
    assert behaviour.sent < len(behaviour.content) + 2 * CHUNK
    assert [request.get("If-Range") for request in behaviour.requests] == [None] + [date or etag] * 2


@pytest.mark.parametrize("lacking", ["ranges", "validator"])
def test_where_the_rest_can_t_be_had_or_trusted_a_broken_transfer_starts_anew(behaviour, address, downloads, lacking):
    if lacking == "ranges":
        behaviour.ranges = False
    else:
        behaviour.etag = None
    behaviour.break_after = [100_000, 150_000]
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content
    assert behaviour.sent == len(behaviour.content) + 250_000


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_file_that_changes_between_two_parts_is_neither_spliced_nor_taken(
    behaviour, address, downloads, heeds_if_range, before, after
):
    behaviour.heeds_if_range, behaviour.break_after = heeds_if_range, [100_000]
    behaviour.etag, behaviour.last_modified = before

    def change():
        (behaviour.etag, behaviour.last_modified), behaviour.content = after, bytes(512_000)

    behaviour.on_body = change
    with pytest.raises(SourceError, match=rf"source\.images: {address} has changed since it was looked at; run it"):
        get(behaviour, address, downloads)
    assert get(behaviour, address, downloads).read_bytes() == bytes(512_000)


def test_a_rest_that_there_is_not_is_fetched_from_its_start(behaviour, address, downloads):
    behaviour.announce = lambda size: None
    behaviour.break_after, stop = [100_000], threading.Event()
    behaviour.on_body = stop.set
    with pytest.raises(SourceError, match="was stopped"):
        get(behaviour, address, downloads, stop)
    behaviour.on_body = None
    (part,) = downloads.rglob("*.part")
    part.write_bytes(behaviour.content)
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content
    assert [request.get("Range") for request in behaviour.requests] == [None, "bytes=512000-", None]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_recovers_is_waited_for(behaviour, address, downloads, status):
    behaviour.statuses = [status, status]
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content


def test_a_server_that_stays_away_is_named_after_the_tries(behaviour, address, downloads):
    behaviour.statuses = [503] * 10
    with pytest.raises(SourceError, match=rf"source\.images: {address} answered 503 .*; try again later"):
        get(behaviour, address, downloads)
    assert len(behaviour.requests) == 3


def test_nobody_there_is_an_error_that_names_the_address(behaviour, downloads):
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/x\.zip can't be fetched .*refused.*; check the addr"):
        get(behaviour, "http://127.0.0.1:9/x.zip", downloads)


def test_a_stopped_download_says_so_and_keeps_what_it_has(behaviour, address, downloads):
    behaviour.content, stop = LARGE, threading.Event()
    behaviour.break_after, behaviour.on_body = [1_000_000], stop.set
    with pytest.raises(SourceError, match="was stopped"):
        get(behaviour, address, downloads, stop)
    behaviour.on_body = None
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content


def test_a_process_that_waited_for_a_killed_one_goes_on_where_that_stopped(behaviour, address, downloads):
    behaviour.content, behaviour.break_after = LARGE, [2_000_000]
    going_on, killed = threading.Event(), threading.Event()
    behaviour.on_body = lambda: len(behaviour.requests) == 2 and (going_on.set(), killed.wait(30))
    first = process(behaviour, address, downloads)
    assert going_on.wait(30)
    second = process(behaviour, address, downloads)
    assert f"waiting for the download of {address}: held by process" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    killed.set()
    got, said = second.communicate(timeout=30)
    assert bytes.fromhex(got) == behaviour.content, said
    assert all("Range" in request for request in behaviour.requests[1:])


def test_two_processes_at_once_fetch_once_and_both_get_the_whole(behaviour, address, downloads):
    asked, both_there = threading.Event(), threading.Event()
    behaviour.on_body = lambda: (asked.set(), both_there.wait(30))
    first = process(behaviour, address, downloads)
    assert asked.wait(30)
    second = process(behaviour, address, downloads)
    assert "waiting for" in second.stderr.readline()
    both_there.set()
    assert [bytes.fromhex(child.communicate(timeout=30)[0]) for child in (first, second)] == [behaviour.content] * 2
    assert len(behaviour.requests) == 1


def process(behaviour, address, downloads):
    """Start a process of its own that downloads, and prints the file that it got in hex."""
    command = [sys.executable, "-c", FETCH, msgspec.json.encode(identity_of(behaviour, address)), downloads]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_old_file_is_there_until_the_new_one_is_whole_and_its_link_stays(behaviour, address, downloads, tmp_path):
    old, old_content, known = get(behaviour, address, downloads), behaviour.content, identity_of(behaviour, address)
    os.link(old, tmp_path / "of_an_artifact")
    behaviour.content, behaviour.etag, behaviour.break_after = LARGE, '"two"', [1_000_000] + [0] * 5
    behaviour.headers = {"Content-Disposition": 'attachment; filename="b.bin"'}
    with pytest.raises(SourceError, match=r"broke off time and again .*; run it again, and it goes on from there"):
        get(behaviour, address, downloads)
    assert fetch(known, KEY, downloads) == old
    behaviour.break_after, behaviour.sent = [], 0
    new = get(behaviour, address, downloads)
    assert (new.name, new.read_bytes()) == ("b.bin", LARGE)
    assert behaviour.sent < len(LARGE) - 1_000_000 + CHUNK
    assert not old.exists()
    assert (tmp_path / "of_an_artifact").read_bytes() == old_content


def test_a_full_disk_is_not_swallowed_and_leaves_the_old_file(behaviour, address, downloads, monkeypatch):
    old = get(behaviour, address, downloads)
    behaviour.etag = '"two"'
    real_open = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, _):
            raise OSError(28, "No space left on device")

    def opened(path, *arguments, **more):
        file = real_open(path, *arguments, **more)
        return Full(file) if path.suffix == ".part" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(OSError, match="No space left"):
            get(behaviour, address, downloads)
    assert old.read_bytes() == behaviour.content


def test_the_identity_is_what_the_server_says_and_without_the_network_that_of_the_copy(behaviour, downloads, caplog):
    behaviour.last_modified = DATES[0]
    with serving(behaviour) as server:
        address = f"{server}/a.bin"
        known = remote_identity(address, KEY)
        file = get(behaviour, address, downloads)
    assert known == RemoteIdentity(address, '"one"', DATES[0], 512_000)
    assert remote_identity(address, KEY) == known
    assert "the copy downloaded before is used" in caplog.text
    assert fetch(known, KEY, downloads) == file


def test_without_a_size_the_file_is_whole_when_the_connection_ends(behaviour, address, downloads):
    behaviour.announce = lambda size: None
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content


def cut(tmp_path, left_out):
    return zip_of(tmp_path / "a.zip", {"1.jpg": jpeg(400, 400)}).read_bytes()[:-left_out]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("export", lambda _: b"", "gave 0 bytes that are not a whole file"),
        ("export", lambda _: b'[{"name": "a.jpg", "labels": [', "gave 30 bytes that are not a whole file"),
        ("export", lambda _: b"\xef\xbb\xbf\n<!DOCTYPE html><title>", "gave a web page in place of a file"),
        ("export", lambda folder: cut(folder, 100), "gave a file that can't be used: export is truncated"),
        ("a.zip", lambda _: bytes(1000), "gave a file that can't be used: a.zip is "),
    ],
)  # fmt: skip
def test_what_lacks_its_end_or_is_no_file_is_refused_and_the_old_one_stays(
    behaviour, address, downloads, tmp_path, name, content, said
):
    address = address.replace("images.bin", name)
    behaviour.announce = lambda size: None
    behaviour.content = whole = zip_of(tmp_path / "b.zip", {"1.jpg": jpeg()}).read_bytes()
    old = get(behaviour, address, downloads)
    behaviour.content, behaviour.etag = content(tmp_path), '"two"'
    with pytest.raises(SourceError, match=rf"source\.images: {address} {said}"):
        get(behaviour, address, downloads)
    assert old.read_bytes() == whole
    assert not list(downloads.rglob("*.part"))


@pytest.mark.parametrize("record", [b"", b"{", b'{"file": 5}', b"\xff"])
def test_with_a_damaged_record_the_file_is_fetched_anew(behaviour, address, downloads, record):
    get(behaviour, address, downloads)
    (path,) = downloads.rglob("download.json")
    path.write_bytes(record)
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content


def test_a_file_that_was_cut_here_is_fetched_anew(behaviour, address, downloads):
    get(behaviour, address, downloads).write_bytes(b"half")
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content


def test_the_name_in_the_answer_s_header_counts(behaviour, address, downloads):
    behaviour.headers = {"Content-Disposition": 'attachment; filename="../train.bin"'}
    assert get(behaviour, address, downloads).name == "train.bin"


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
    ],
)
def test_a_server_s_name_for_a_file_is_only_a_name(given, safe):
    assert safe_name(given) == safe


def refused(behaviour, address, downloads, said):
    with pytest.raises(SourceError, match=rf"source\.images: {address} {said}"):
        get(behaviour, address, downloads)


@pytest.mark.parametrize("status", [202, 204, 300, 304, 401, 403, 404, 410])
def test_an_answer_that_is_no_file_is_not_tried_again(behaviour, address, downloads, status):
    behaviour.statuses = [status] * 3
    refused(behaviour, address, downloads, f"answered {status} .*; check the address")
    assert len(behaviour.requests) == 1


def test_a_redirect_is_followed(behaviour, address, downloads):
    assert get(behaviour, address.replace("/files", "/moved/files"), downloads).read_bytes() == behaviour.content


@pytest.mark.parametrize("place", ["http://[x/a.zip", "//[x", "x://\xe2\x84\x80/a.zip", "http://.../a", "//\xe4/a"])
def test_a_redirect_to_no_address_is_an_error(behaviour, address, downloads, place):
    behaviour.location = place
    refused(behaviour, address, downloads, "can't be fetched")


@pytest.mark.parametrize("host", ["exa mple", "h:99999", "...", "a" * 64 + ".org"])
def test_an_address_of_no_host_is_an_error(behaviour, downloads, host):
    refused(behaviour, f"http://{host}/a.zip", downloads, "can't be fetched")


def test_a_redirect_to_itself_is_an_error(behaviour, address, downloads):
    behaviour.location = address
    refused(behaviour, address, downloads, r"can't be fetched \(Exceeded 30 redirects")


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher"])
def test_a_redirect_out_of_the_web_is_not_followed(behaviour, address, downloads, tmp_path, scheme):
    (tmp_path / "secret").write_bytes(b"of this machine")
    behaviour.location = f"{scheme}://{tmp_path}/secret"
    refused(behaviour, address, downloads, f"can't be fetched .*{scheme}")
    assert not list(downloads.rglob("secret"))


def test_a_redirect_from_a_secured_address_to_one_that_is_not_is_refused():
    plain, secured = requests.Response(), requests.Response()
    secured.status_code, secured.url, secured.history = 200, "https://there/a.zip", [plain]
    plain.status_code, plain.url = 302, "http://between/a.zip"
    assert "is not secured" in str(download._fault("https://here/a.zip", secured))
    assert download._fault("http://here/a.zip", secured) is None


def test_more_announced_than_sent_is_an_error_with_both_numbers(behaviour, address, downloads):
    behaviour.ranges, behaviour.announce = False, lambda size: size + 1000
    refused(behaviour, address, downloads, r"broke off .*512000 bytes read, 1000 more expected")


def test_a_server_that_drips_is_left_and_gone_on_with_later(behaviour, address, downloads, monkeypatch):
    monkeypatch.setattr(download, "WINDOW", 0.3)
    behaviour.drip = 0.05
    with pytest.raises(SourceError, match=r"images\.bin sends \d+ bytes in 0 s; try another address, or run it again"):
        get(behaviour, address, downloads)
    behaviour.drip = 0
    assert get(behaviour, address, downloads).read_bytes() == behaviour.content
    assert behaviour.requests[-1]["Range"] != "bytes=0-"


@pytest.mark.parametrize("charset", ["no-such", "idna", "undefined", "hex", "utf-8"])
def test_a_name_in_an_odd_character_set_breaks_nothing(behaviour, address, downloads, charset):
    behaviour.headers = {"Content-Disposition": f"attachment; filename*={charset}''%80%5Cx.bin"}
    file = get(behaviour, address, downloads)
    assert file.read_bytes() == behaviour.content
    assert file.name in {"x.bin", "images.bin"}
