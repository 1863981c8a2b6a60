"""Servers that refuse, redirect or lie: the right bytes or a clear error."""

import json

import pytest
import requests
from msgspec.structs import replace

from pipeline.errors import SourceError
from pipeline.sources import http_answers
from pipeline.sources.download_cache import read_record, write_record
from tests.pipeline.fetching import KEY, get
from tests.pipeline.small_sources import jpeg, zip_of


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_not_there_is_not_tried_again(behaviour, address, downloads, status):
    behaviour.statuses = [status] * 3
    with pytest.raises(SourceError, match=f"answered {status}"):
        get(address, downloads)
    assert len(behaviour.requests) == 1


def test_a_redirect_is_followed(behaviour, address, downloads):
    assert get(address.replace("/files", "/moved/files"), downloads).read_bytes() == behaviour.content


@pytest.mark.parametrize("digits", ["9" * 5000, "٣"])
def test_numbers_that_are_none_say_nothing(digits):
    """A Python integer takes 4300 digits at most, and digits of all scripts."""
    answer = requests.Response()
    answer.status_code, answer.url = 200, "http://x/a.zip"
    answer.headers["Content-Length"] = answer.headers["Retry-After"] = digits
    answer.headers["Content-Range"] = f"bytes {digits}-9/{digits}"
    assert http_answers.offered_file(answer.url, answer).size is None
    assert http_answers.sent_range(answer) == (None, None)
    answer.headers["Content-Range"] = f"bytes 3-9/{digits}"
    assert http_answers.sent_range(answer) == (3, None)


def test_seconds_to_wait_that_are_none_are_no_wait(behaviour, address, downloads, monkeypatch):
    refused = http_answers._refuse_fault

    def with_many_digits(address, key, response):
        response.headers["Retry-After"] = "9" * 5000
        refused(address, key, response)

    monkeypatch.setattr(http_answers, "_refuse_fault", with_many_digits)
    behaviour.statuses = [503]
    assert get(address, downloads).read_bytes() == behaviour.content


@pytest.mark.parametrize("status", [202, 204, 300, 304])
def test_an_answer_that_is_neither_a_fault_nor_a_file_is_no_file(behaviour, address, downloads, status):
    behaviour.statuses = [status]
    with pytest.raises(SourceError, match=f"answered {status} .*; check the address"):
        get(address, downloads)


@pytest.mark.parametrize("place", ["http://[x/a.zip", "//[x", "x://\xe2\x84\x80/a.zip", "http://.../a", "//\xe4/a"])
def test_a_redirect_to_no_address_is_an_error(behaviour, address, downloads, place):
    behaviour.location = place
    with pytest.raises(SourceError, match=rf"source\.images: {address} can't be fetched"):
        get(address, downloads)


@pytest.mark.parametrize("host", ["exa mple", "h:99999", "...", "a" * 64 + ".org"])
def test_an_address_of_no_host_is_an_error(downloads, host):
    with pytest.raises(SourceError, match=r"source\.images: .* can't be fetched"):
        get(f"http://{host}/a.zip", downloads)


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


@pytest.mark.parametrize("coding", ["", "Identity"])
def test_a_file_that_is_said_not_to_be_packed_is_taken(behaviour, address, downloads, coding):
    behaviour.headers = {"Content-Encoding": coding}
    assert get(address, downloads).read_bytes() == behaviour.content


@pytest.mark.parametrize("name", ["download.json", "lock", "content.part"])
def test_a_file_called_as_one_of_the_download_s_own_is_another(behaviour, address, downloads, name):
    behaviour.content = b"[" + b"1," * 1000 + b"1]"
    for _ in range(2):
        file = get(address.replace("images.bin", name), downloads)
        assert (file.name, file.read_bytes()) == (f"file-{name}", behaviour.content)
    assert behaviour.sent <= len(behaviour.content) + 1


def test_the_rest_of_another_file_is_known_by_its_etag_where_if_range_is_not_heeded(behaviour, address, downloads):
    behaviour.heeds_if_range = False
    behaviour.break_after = [100_000]

    def change():
        behaviour.etag, behaviour.content = '"two"', bytes(300_000)

    behaviour.on_body = change
    assert get(address, downloads).read_bytes() == bytes(300_000)


DATES = ("Mon, 23 Nov 2026 10:00:00 GMT", "Mon, 23 Nov 2026 10:00:05 GMT")


def test_the_rest_of_another_file_is_known_by_its_date_where_its_etag_is_weak(behaviour, address, downloads):
    behaviour.heeds_if_range = False
    behaviour.etag, behaviour.last_modified = 'W/"one"', DATES[0]
    behaviour.break_after = [100_000]

    def change():
        behaviour.last_modified, behaviour.content = DATES[1], behaviour.content[::-1]
        behaviour.on_body = None

    behaviour.on_body = change
    first = behaviour.content
    assert get(address, downloads).read_bytes() == first[::-1]


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"'])
def test_a_rest_of_which_nothing_is_said_is_not_taken_for_that_of_the_same_file(behaviour, address, downloads, etag):
    behaviour.etag, behaviour.last_modified, behaviour.parts_are_of = etag, DATES[0], ()
    behaviour.break_after = [100_000]

    def change():
        behaviour.content = behaviour.content[::-1]
        behaviour.on_body = None

    behaviour.on_body = change
    first = behaviour.content
    assert get(address, downloads).read_bytes() == first[::-1]
    sent = behaviour.sent
    assert get(address, downloads).read_bytes() == first[::-1]
    assert behaviour.requests[-1].get("Range") is None
    assert behaviour.sent <= 2 * sent, "once it is complete, the headers of the whole file say that it is the same"


@pytest.mark.parametrize("refusal", ["text/html", "text/plain"])
def test_a_download_killed_after_its_last_byte_is_finished_whatever_the_refusal_of_the_rest_looks_like(
    behaviour, address, downloads, refusal
):
    behaviour.announce = lambda size: None
    behaviour.break_after = [len(behaviour.content)]
    file = get(address, downloads)
    write_record(file.parent, replace(read_record(file.parent), length=None))
    (file.parent / "download.json").unlink()
    file.rename(file.parent / "content.part")
    behaviour.refusal_headers = {"Content-Type": refusal}
    assert get(address, downloads).read_bytes() == behaviour.content
    assert behaviour.sent == len(behaviour.content)


@pytest.mark.parametrize(
    ("etag", "told"),
    [
        ('"one"', ("Last-Modified",)),
        ('"one"', ("ETag",)),
        ('W/"one"', ("ETag",)),
        (None, ()),
        (None, ("Last-Modified",)),
    ],
)
def test_a_part_that_has_what_it_must_have_is_a_rest(behaviour, address, downloads, etag, told):
    behaviour.etag, behaviour.last_modified, behaviour.parts_are_of = etag, DATES[0], told
    behaviour.break_after = [100_000]
    assert get(address, downloads).read_bytes() == behaviour.content
    assert behaviour.sent == len(behaviour.content)


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


@pytest.mark.parametrize("name", ["labels.json", "export"])
def test_less_announced_than_there_is_shows_in_a_json_whatever_its_address(behaviour, address, downloads, name):
    address = address.replace("images.bin", name)
    behaviour.content = json.dumps([{"name": f"{n}.jpg", "labels": []} for n in range(100)]).encode()
    behaviour.announce = lambda size: size - 50
    with pytest.raises(SourceError, match=rf"source\.images: {address} gave 3,340 bytes that are not a whole file"):
        get(address, downloads)
    assert not list(downloads.rglob(name))
    behaviour.announce = lambda size: size
    assert get(address, downloads).read_bytes() == behaviour.content


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


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "Text/HTML", "application/xhtml+xml"])
def test_a_web_page_is_not_a_file(behaviour, address, downloads, kind):
    behaviour.headers = {"Content-Type": kind}
    with pytest.raises(SourceError, match="answered with a web page"):
        get(address, downloads)
