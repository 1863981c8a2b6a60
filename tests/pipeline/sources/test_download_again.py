"""What is here from an earlier download: the same file, another one, one that can't be used; with no network, too."""

import os
import shutil
import zipfile

import pytest

from pipeline.errors import SourceError
from pipeline.sources.download import remote_identity
from pipeline.sources.download_cache import link_or_copy
from tests.pipeline.fetching import KEY, LARGE, ONE_BYTE, QUICK, get
from tests.pipeline.file_server import serving


def test_nothing_is_fetched_twice(behaviour, address, downloads):
    first = get(address, downloads)
    sent = behaviour.sent
    assert get(address, downloads) == first
    assert behaviour.sent <= sent + ONE_BYTE
    assert behaviour.requests[-1]["If-Range"] == '"one"'


def test_a_server_without_etags_is_believed_by_time_and_size(behaviour, address, downloads):
    behaviour.etag, behaviour.last_modified = None, "Mon, 23 Nov 2026 10:00:00 GMT"
    behaviour.content = bytes(20_000_000)
    first = get(address, downloads)
    changed = os.stat(first).st_mtime_ns
    assert os.stat(get(address, downloads)).st_mtime_ns == changed


def test_without_an_etag_another_date_is_another_file(behaviour, address, downloads):
    behaviour.etag, behaviour.last_modified = None, "Wed, 01 Jan 2025 00:00:00 GMT"
    behaviour.heeds_if_range = False
    first = get(address, downloads).read_bytes()
    behaviour.content, behaviour.last_modified = first[::-1], "Thu, 02 Jan 2025 00:00:00 GMT"
    assert get(address, downloads).read_bytes() == first[::-1] != first


def test_a_server_that_says_nothing_of_its_file_is_warned_of(behaviour, address, downloads, caplog):
    behaviour.etag, behaviour.announce = None, lambda size: None
    identity = remote_identity(address, KEY, QUICK)
    assert (identity["etag"], identity["last_modified"], identity["size"]) == (None, None, None)
    assert f"another file there goes unnoticed: give it another address then ({address}?v=2)" in caplog.text
    caplog.clear()
    behaviour.etag = '"one"'
    remote_identity(address, KEY, QUICK)
    assert "unnoticed" not in caplog.text


def test_a_changed_file_is_fetched_anew_and_the_link_to_the_old_one_stays_old(behaviour, address, downloads, tmp_path):
    old = behaviour.content
    link_or_copy(get(address, downloads), tmp_path / "artifact" / "images.bin")
    behaviour.content, behaviour.etag = b"new bytes", '"two"'
    assert get(address, downloads).read_bytes() == b"new bytes"
    assert (tmp_path / "artifact" / "images.bin").read_bytes() == old


def told_too_short(behaviour, address, downloads):
    """Download a file whose server announces, and sends, 50 bytes too few."""
    behaviour.announce = lambda size: size - 50
    assert get(address, downloads).read_bytes() == behaviour.content[:-50]
    behaviour.announce = lambda size: size


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', None])
@pytest.mark.parametrize("last_modified", ["Mon, 23 Nov 2026 10:00:00 GMT", None])
def test_a_file_that_was_announced_too_short_is_fetched_anew_once_it_is_announced_in_full(
    behaviour, address, downloads, ranges, etag, last_modified
):
    behaviour.ranges, behaviour.etag, behaviour.last_modified = ranges, etag, last_modified
    told_too_short(behaviour, address, downloads)
    assert get(address, downloads).read_bytes() == behaviour.content
    assert remote_identity(address, KEY, QUICK)["size"] == len(behaviour.content)


def test_a_file_that_shrank_under_its_etag_is_fetched_anew(behaviour, address, downloads):
    get(address, downloads)
    behaviour.content = b"shorter"
    assert get(address, downloads).read_bytes() == b"shorter"


def test_a_file_known_to_be_too_short_is_not_used_when_the_rest_can_t_be_had(behaviour, address, downloads):
    told_too_short(behaviour, address, downloads)
    behaviour.statuses = [200, 503, 503, 503]
    with pytest.raises(SourceError, match="answered 503"):
        get(address, downloads)
    assert get(address, downloads).read_bytes() == behaviour.content


def test_without_the_network_the_copy_from_before_is_used(behaviour, downloads):
    with serving(behaviour) as server:
        file = get(f"{server}/a.bin", downloads)
        identity = remote_identity(f"{server}/a.bin", KEY, QUICK)
    assert get(f"{server}/a.bin", downloads) == file
    assert remote_identity(f"{server}/a.bin", KEY, QUICK) == identity
    assert (identity["etag"], identity["size"]) == ('"one"', len(behaviour.content))


@pytest.mark.parametrize("announced", [True, False])
def test_the_identity_without_the_network_is_that_from_before(behaviour, downloads, announced):
    if not announced:
        behaviour.announce = lambda size: None
    with serving(behaviour) as server:
        identity = remote_identity(f"{server}/a.bin", KEY, QUICK)
        get(f"{server}/a.bin", downloads)
    assert remote_identity(f"{server}/a.bin", KEY, QUICK) == identity
    assert (identity["size"] is not None) == announced


def test_what_was_here_before_is_not_taken_for_the_new_file_that_was_told_of(behaviour, address, downloads):
    old, first = behaviour.content, get(address, downloads)
    behaviour.content, behaviour.etag = b"new bytes", '"two"'
    assert remote_identity(address, KEY, QUICK)["etag"] == '"two"'
    behaviour.statuses = [503] * 3
    with pytest.raises(SourceError, match="answered 503"):
        get(address, downloads)
    assert first.read_bytes() == old
    assert get(address, downloads).read_bytes() == b"new bytes"


def test_a_new_file_that_there_is_no_room_for_doesn_t_pass_for_the_old_one(behaviour, address, downloads, monkeypatch):
    get(address, downloads)
    behaviour.content, behaviour.etag = b"new bytes", '"two"'
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 5))
        with pytest.raises(SourceError, match="there is room for 5 in"):
            get(address, downloads)
    assert get(address, downloads).read_bytes() == b"new bytes"


def test_a_part_that_can_t_be_continued_makes_room_for_the_whole(behaviour, address, downloads, monkeypatch):
    behaviour.etag = None
    behaviour.break_after = [100_000]
    free = len(behaviour.content) - 50_000

    def usage(folder):
        return shutil._ntuple_diskusage(10**9, 0, free + (0 if list(folder.glob("content.part")) else 100_000))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert get(address, downloads).read_bytes() == behaviour.content


def test_the_old_file_is_there_until_the_new_one_is_whole(behaviour, downloads):
    old = behaviour.content
    with serving(behaviour) as server:
        address = f"{server}/a.bin"
        file = get(address, downloads)
        identity = remote_identity(address, KEY, QUICK)
        behaviour.content, behaviour.etag, behaviour.break_after = LARGE, '"two"', [1_000_000] + [0] * 5
        behaviour.headers = {"Content-Disposition": 'attachment; filename="b.bin"'}
        with pytest.raises(SourceError, match="broke off"):
            get(address, downloads)
    assert remote_identity(address, KEY, QUICK) == identity
    assert get(address, downloads) == file
    assert file.read_bytes() == old


def test_a_part_of_the_new_file_is_continued_beside_the_old_one(behaviour, address, downloads):
    old = get(address, downloads)
    behaviour.content, behaviour.etag, behaviour.break_after = LARGE, '"two"', [1_000_000] + [0] * 5
    behaviour.headers = {"Content-Disposition": 'attachment; filename="b.bin"'}
    with pytest.raises(SourceError, match="broke off"):
        get(address, downloads)
    behaviour.break_after, behaviour.sent = [], 0
    assert get(address, downloads).read_bytes() == LARGE
    assert behaviour.sent <= len(LARGE) - 1_000_000
    assert not old.exists()


def test_an_archive_that_can_t_be_used_is_kept_and_not_fetched_again(behaviour, address, downloads, tmp_path):
    packed = tmp_path / "z.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.jpg", bytes(1000))
    behaviour.content = packed.read_bytes()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"/images\.bin: 'a\.jpg' is packed by method 12; repack it"):
            get(address, downloads)
    assert behaviour.sent <= len(behaviour.content) + ONE_BYTE
    assert [file.read_bytes() for file in downloads.rglob("images.bin")] == [behaviour.content]
