"""Servers that refuse, redirect or send something else than the file: a clear error."""

import pytest
import requests

from pipeline.errors import SourceError
from pipeline.sources import download
from tests.pipeline.fetching import get


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


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_file_that_is_sent_packed_is_refused_since_its_size_and_rest_are_not_the_file_s(
    behaviour, address, downloads, coding
):
    behaviour.headers = {"Content-Encoding": coding}
    refused(behaviour, address, downloads, "sends its file re-packed, although asked not to")
    assert behaviour.requests[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "Text/HTML", "application/xhtml+xml"])
def test_a_web_page_is_not_a_file(behaviour, address, downloads, kind):
    behaviour.headers = {"Content-Type": kind}
    refused(behaviour, address, downloads, "answered with a web page")


def test_more_announced_than_sent_is_an_error_with_both_numbers(behaviour, address, downloads):
    behaviour.ranges, behaviour.announce = False, lambda size: size + 1000
    refused(behaviour, address, downloads, r"broke off .*512000 bytes read, 1000 more expected")
