"""Downloads that are broken off, resumed, killed, stopped, made at once: the right bytes, and nothing fetched twice."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.sources.download import Patience, fetch
from tests.pipeline.fetching import KEY, LARGE, ONE_BYTE, QUICK, get
from tests.pipeline.file_server import serving

FETCH = """
import logging, pathlib, sys
from pipeline.sources.download import fetch
logging.basicConfig(level=logging.INFO)
print(fetch(sys.argv[1], 'key', pathlib.Path(sys.argv[2])).read_bytes().hex())
"""


def test_a_file_comes_whole_under_its_own_name(behaviour, address, downloads):
    file = get(address, downloads)
    assert file.name == "images.bin"
    assert file.read_bytes() == behaviour.content


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


def test_nobody_there_is_an_error_that_names_the_address(downloads):
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/x\.zip can't be reached"):
        get("http://127.0.0.1:9/x.zip", downloads)


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


def process(address, downloads):
    """Start a process of its own that downloads, and prints the file that it got in hex."""
    command = [sys.executable, "-c", FETCH, address, downloads]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(child):
    child.send_signal(signal.SIGKILL)
    child.communicate()


def waiting_process(address, downloads):
    """Start a process that waits for another's download, and return it when it said so."""
    child = process(address, downloads)
    assert f"waiting for the download of {address}: held by process" in child.stderr.readline()
    return child


def test_a_killed_download_continues(behaviour, downloads):
    behaviour.content = LARGE
    waiting = threading.Event()
    behaviour.break_after = [2_000_000]
    behaviour.on_body = waiting.set
    with serving(behaviour) as server:
        address = f"{server}/large.bin"
        child = process(address, downloads)
        assert waiting.wait(30)
        deadline = time.monotonic() + 20
        while not any(part.stat().st_size for part in downloads.rglob("content.part")) and time.monotonic() < deadline:
            time.sleep(0.02)
        killed(child)
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
    assert behaviour.sent <= len(behaviour.content) + ONE_BYTE


def test_two_processes_at_once_fetch_once_and_both_get_the_whole(behaviour, address, downloads):
    asked, both_there = threading.Event(), threading.Event()
    behaviour.on_body = lambda: (asked.set(), both_there.wait(30))
    first = process(address, downloads)
    assert asked.wait(30)
    second = waiting_process(address, downloads)
    both_there.set()
    assert [bytes.fromhex(child.communicate(timeout=30)[0]) for child in (first, second)] == [behaviour.content] * 2
    assert behaviour.sent <= len(behaviour.content) + ONE_BYTE


def test_a_process_that_waited_for_a_killed_one_goes_on_where_that_stopped(behaviour, address, downloads):
    behaviour.content = LARGE
    behaviour.break_after = [2_000_000]
    asked = threading.Event()
    behaviour.on_body = asked.set
    first = process(address, downloads)
    assert asked.wait(30)
    second = waiting_process(address, downloads)
    killed(first)
    got, said = second.communicate(timeout=30)
    assert bytes.fromhex(got) == behaviour.content, said
    assert any("Range" in request for request in behaviour.requests)
    assert behaviour.sent < 2 * len(behaviour.content)


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
