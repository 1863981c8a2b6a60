"""Downloads from servers that behave well, badly, or lie: the right bytes or a clear error, and nothing twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from pipeline import http_answers
from pipeline.download import Patience, fetch, remote_identity
from pipeline.download_cache import link_or_copy
from pipeline.errors import SourceError
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import jpeg, zip_of

QUICK = Patience(tries=3, first_wait=0.01, longest_wait=0.05, connect=2, read=2)
KEY = "source.images"
FETCH = "import sys, pathlib; from pipeline.download import fetch; fetch(sys.argv[1], 'key', pathlib.Path(sys.argv[2]))"


@pytest.fixture
def behaviour():
    return Behaviour()


@pytest.fixture
def address(behaviour):
    with serving(behaviour) as server:
        yield f"{server}/files/images.bin"


@pytest.fixture
def downloads(data_folder):
    return data_folder / ".downloads"


def get(address, downloads, patience=QUICK):
    return fetch(address, KEY, downloads, patience=patience)


def test_a_file_comes_whole_under_its_own_name(behaviour, address, downloads):
    file = get(address, downloads)
    assert file.name == "images.bin"
    assert file.read_bytes() == behaviour.content


def test_nothing_is_fetched_twice(behaviour, address, downloads):
    first = get(address, downloads)
    sent = behaviour.sent
    assert get(address, downloads) == first
    assert behaviour.sent == sent
    assert behaviour.requests[-1]["If-None-Match"] == '"one"'


def test_a_server_without_etags_is_believed_by_time_and_size(behaviour, address, downloads):
    behaviour.etag, behaviour.last_modified = None, "Mon, 23 Nov 2026 10:00:00 GMT"
    behaviour.content = bytes(20_000_000)
    first = get(address, downloads)
    changed = os.stat(first).st_mtime_ns
    assert os.stat(get(address, downloads)).st_mtime_ns == changed


def test_a_changed_file_is_fetched_anew_and_the_link_to_the_old_one_stays_old(behaviour, address, downloads, tmp_path):
    old = behaviour.content
    link_or_copy(get(address, downloads), tmp_path / "artifact" / "images.bin")
    behaviour.content, behaviour.etag = b"new bytes", '"two"'
    assert get(address, downloads).read_bytes() == b"new bytes"
    assert (tmp_path / "artifact" / "images.bin").read_bytes() == old


def test_a_dropped_connection_is_taken_up_where_it_broke(behaviour, address, downloads):
    behaviour.break_after = [100_000, 150_000]
    assert get(address, downloads).read_bytes() == behaviour.content
    assert behaviour.sent == len(behaviour.content)
    assert [request.get("Range") for request in behaviour.requests] == [None, "bytes=100000-", "bytes=250000-"]


def test_without_ranges_a_broken_transfer_starts_anew(behaviour, address, downloads):
    behaviour.ranges = False
    behaviour.break_after = [100_000, 150_000]
    assert get(address, downloads).read_bytes() == behaviour.content
    assert behaviour.sent == len(behaviour.content) + 250_000


def test_without_a_validator_the_rest_is_not_trusted_to_be_of_the_same_file(behaviour, address, downloads):
    behaviour.etag = None
    behaviour.break_after = [100_000]
    assert get(address, downloads).read_bytes() == behaviour.content
    assert all("Range" not in request for request in behaviour.requests)


def test_a_file_that_changes_between_two_parts_is_not_spliced(behaviour, address, downloads):
    behaviour.break_after = [100_000]

    def change():
        behaviour.etag, behaviour.content = '"two"', bytes(300_000)

    behaviour.on_body = change
    assert get(address, downloads).read_bytes() == bytes(300_000)
    assert behaviour.requests[-1]["If-Range"] == '"one"'


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_recovers_is_waited_for(behaviour, address, downloads, status):
    behaviour.statuses = [status, status]
    assert get(address, downloads).read_bytes() == behaviour.content


def test_the_wait_that_a_server_asks_for_is_kept_within_bounds():
    assert QUICK.wait(1, asked=3600) == 0.05
    assert Patience().wait(1, asked=7) == 7
    assert [Patience().wait(failures, 0) for failures in (1, 2, 3, 10)] == [1, 2, 4, 30]


def test_a_server_that_stays_away_is_named_after_the_tries(behaviour, address, downloads):
    behaviour.statuses = [503] * 10
    with pytest.raises(SourceError, match=rf"source\.images: {address} answered 503 .* 3 times in a row"):
        get(address, downloads)
    assert len(behaviour.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_not_there_is_not_tried_again(behaviour, address, downloads, status):
    behaviour.statuses = [status] * 3
    with pytest.raises(SourceError, match=f"answered {status}"):
        get(address, downloads)
    assert len(behaviour.requests) == 1


def test_a_redirect_is_followed(behaviour, address, downloads):
    assert get(address.replace("/files", "/moved/files"), downloads).read_bytes() == behaviour.content


def test_an_endless_redirect_is_an_error(behaviour, address, downloads):
    with pytest.raises(SourceError, match="redirect"):
        get(address.replace("/files", "/moved" * 40 + "/files"), downloads)


def test_a_redirect_to_itself_is_an_error(behaviour, address, downloads):
    behaviour.location = address
    with pytest.raises(SourceError, match=rf"source\.images: {address} can't be fetched \(Exceeded 30 redirects"):
        get(address, downloads)
    assert not list(downloads.rglob("images.bin"))


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher"])
def test_a_redirect_out_of_the_web_is_not_followed(behaviour, address, downloads, tmp_path, scheme):
    (tmp_path / "secret").write_bytes(b"of this machine")
    behaviour.location = f"{scheme}://{tmp_path}/secret"
    with pytest.raises(SourceError, match=f"can't be fetched .*{scheme}"):
        get(address, downloads)
    assert not list(downloads.rglob("secret"))


def test_a_redirect_from_a_secured_address_to_one_that_is_not_is_refused():
    plain, secured = requests.Response(), requests.Response()
    secured.status_code, secured.url, secured.history = 200, "https://there/a.zip", [plain]
    plain.status_code, plain.url = 302, "http://between/a.zip"
    with pytest.raises(SourceError, match="is not secured"):
        http_answers._refuse_fault("https://here/a.zip", KEY, secured)


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_file_that_is_sent_packed_is_refused_since_its_size_and_rest_are_not_the_file_s(
    behaviour, address, downloads, coding
):
    behaviour.headers = {"Content-Encoding": coding}
    with pytest.raises(SourceError, match="sends its file re-packed, although asked not to"):
        get(address, downloads)
    assert behaviour.requests[0]["Accept-Encoding"] == "identity"


def test_the_rest_of_another_file_is_known_by_its_etag_where_if_range_is_not_heeded(behaviour, address, downloads):
    behaviour.heeds_if_range = False
    behaviour.break_after = [100_000]

    def change():
        behaviour.etag, behaviour.content = '"two"', bytes(300_000)

    behaviour.on_body = change
    assert get(address, downloads).read_bytes() == bytes(300_000)


def test_a_part_that_begins_elsewhere_is_not_taken_for_the_rest(behaviour, address, downloads):
    behaviour.break_after = [100_000]
    behaviour.part_starts_late = 10
    assert get(address, downloads).read_bytes() == behaviour.content


def test_a_file_that_shrank_below_what_is_here_is_fetched_anew(behaviour, address, downloads):
    behaviour.heeds_if_range = False
    behaviour.break_after = [100_000]

    def shrink():
        behaviour.content = b"little"
        behaviour.on_body = None

    behaviour.on_body = shrink
    assert get(address, downloads).read_bytes() == b"little"
    assert [request.get("Range") for request in behaviour.requests] == [None, "bytes=100000-", None]


def test_more_announced_than_sent_is_an_error_with_both_numbers(behaviour, address, downloads):
    behaviour.ranges = False
    behaviour.announce = lambda size: size + 1000
    with pytest.raises(SourceError, match=r"broke off \(.*512000 bytes read, 1000 more expected.*\), 3 times in a row"):
        get(address, downloads)


def test_a_server_that_announced_too_much_and_then_refuses_the_rest_has_sent_all(behaviour, address, downloads):
    behaviour.announce = lambda size: size + 1000
    assert get(address, downloads).read_bytes() == behaviour.content


def test_less_announced_than_there_is_shows_in_the_archive(behaviour, address, downloads, tmp_path):
    behaviour.content = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg(400, 400)}).read_bytes()
    behaviour.announce = lambda size: size - 100
    with pytest.raises(SourceError, match=r"can't be used: images\.bin is truncated"):
        get(address, downloads)
    behaviour.announce = lambda size: size
    assert get(address, downloads).read_bytes() == behaviour.content


def test_a_json_without_its_end_is_refused(behaviour, address, downloads):
    behaviour.content = b'[{"name": "a.jpg", "labels": []}, {"na'
    behaviour.announce = lambda size: None
    with pytest.raises(SourceError, match="not a whole file"):
        get(address.replace("images.bin", "labels.json"), downloads)


def test_a_size_that_is_not_announced_does_no_harm(behaviour, address, downloads):
    behaviour.announce = lambda size: None
    assert get(address, downloads).read_bytes() == behaviour.content


def test_a_false_total_of_a_part_is_not_believed(behaviour, address, downloads):
    behaviour.break_after = [100_000]
    behaviour.announced_total = 7
    assert get(address, downloads).read_bytes() == behaviour.content


def test_more_than_the_disk_can_hold_is_refused_before_it_is_fetched(behaviour, address, downloads):
    behaviour.announce = lambda size: 10**18
    with pytest.raises(SourceError, match="1,000,000,000,000,000,000 bytes, as its server says, and there is room for"):
        get(address, downloads)


def test_a_web_page_is_not_a_file(behaviour, address, downloads):
    behaviour.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(SourceError, match="answered with a web page"):
        get(address, downloads)


def test_nobody_there_is_an_error_that_names_the_address(downloads):
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/x\.zip can't be reached"):
        get("http://127.0.0.1:9/x.zip", downloads)


def test_without_the_network_the_copy_from_before_is_used(behaviour, downloads):
    with serving(behaviour) as server:
        file = get(f"{server}/a.bin", downloads)
        identity = remote_identity(f"{server}/a.bin", KEY, QUICK)
    assert get(f"{server}/a.bin", downloads) == file
    assert remote_identity(f"{server}/a.bin", KEY, QUICK) == identity
    assert (identity["etag"], identity["size"]) == ('"one"', len(behaviour.content))


def test_a_full_disk_is_not_swallowed_and_leaves_no_part(address, downloads, monkeypatch):
    real_open = Path.open

    class Part:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, _):
            raise OSError(28, "No space left on device")

    def opened(path, *arguments, **more):
        file = real_open(path, *arguments, **more)
        return Part(file) if path.name == "content.part" else file

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OSError, match="No space left"):
        get(address, downloads)
    assert not list(downloads.rglob("content.part"))


def test_a_killed_download_continues(behaviour, downloads):
    behaviour.content = os.urandom(3_000_000)
    waiting = threading.Event()
    behaviour.break_after = [2_000_000]
    behaviour.on_body = waiting.set
    with serving(behaviour) as server:
        address = f"{server}/large.bin"
        child = subprocess.Popen([sys.executable, "-c", FETCH, address, downloads])
        assert waiting.wait(30)
        deadline = time.monotonic() + 20
        while not any(part.stat().st_size for part in downloads.rglob("content.part")) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
        behaviour.on_body = None
        assert get(address, downloads).read_bytes() == behaviour.content
    assert any("Range" in request for request in behaviour.requests)
    assert behaviour.sent < 2 * len(behaviour.content)


def test_two_at_once_fetch_once(behaviour, address, downloads):
    results = []
    threads = [threading.Thread(target=lambda: results.append(get(address, downloads))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert behaviour.sent == len(behaviour.content)


def test_a_stopped_download_says_so_and_keeps_what_it_has(behaviour, address, downloads):
    stop = threading.Event()
    behaviour.on_body = stop.set
    with pytest.raises(SourceError, match="was stopped"):
        fetch(address, KEY, downloads, stop, QUICK)
    behaviour.on_body = None
    assert get(address, downloads).read_bytes() == behaviour.content


def test_the_name_in_the_answer_s_header_counts(behaviour, address, downloads):
    behaviour.headers = {"Content-Disposition": 'attachment; filename="../train.bin"'}
    assert get(address, downloads).name == "train.bin"
