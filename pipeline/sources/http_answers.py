"""What a server's answer means for a download: the file it offers, a fault to report, or a reason to try again.

What is done with the bytes is `pipeline.sources.download`'s.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from pipeline.errors import SourceError
from pipeline.sources.download_cache import DownloadRecord, safe_name

TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504, *range(520, 525)}
"""Those from 520 on are Cloudflare's, of a server behind it."""
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
ANSWERS = {200, 203, 206, 416}
WEB_PAGES = ("text/html", "application/xhtml+xml")
CHUNK = 1 << 16
MOST_DIGITS = 19
"""Of a number in a header: bytes of a file, or seconds to wait."""


class InterruptedTransferError(Exception):
    """A transfer that may succeed when tried again, after the `wait` in seconds that the server asks for."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@contextmanager
def open_address(
    address: str, key: str, headers: dict[str, str], timeout: tuple[float, float]
) -> Iterator[requests.Response]:
    """Ask for a file, its bytes as they are; redirects are followed, from https to https only.

    Raises SourceError, naming the address and its recipe `key`, for what won't change when tried again, and
    InterruptedTransferError for what may. Answers are a file (200, 203), a part (206) and that there is none (416).
    """
    try:
        response = requests.get(
            address, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=timeout
        )
    except requests.exceptions.SSLError as error:
        raise SourceError(f"{key}: {address} can't prove who it is ({_cause(error)})") from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise InterruptedTransferError(f"can't be reached ({_cause(error)})") from error
    except (requests.RequestException, ValueError) as error:
        # ValueError: a host that requests passes on unseen, or one that a redirect names, is none.
        raise SourceError(f"{key}: {address} can't be fetched ({_cause(error)})") from error
    with response:
        _refuse_fault(address, key, response)
        yield response


def offered_file(address: str, response: requests.Response) -> DownloadRecord:
    """Return what a 200 says of the file in its body: name, validators, size."""
    length = response.headers.get("Content-Length", "")
    return DownloadRecord(
        address=address,
        name=_name(address, response),
        etag=response.headers.get("ETag"),
        last_modified=response.headers.get("Last-Modified"),
        size=_number(length),
    )


def is_same_file(kept: DownloadRecord, offered: DownloadRecord) -> bool:
    """Tell whether a server offers the file that is kept: as far as it says anything at all of it.

    Another size is another file whatever the ETag: the one that is kept may have been announced too short.
    """
    if offered.size not in (None, kept.length):
        return False
    if offered.etag or kept.etag:
        return offered.etag == kept.etag
    return offered.last_modified == kept.last_modified


def is_strong(etag: str | None) -> bool:
    """Tell whether an ETag says that a file is the same byte by byte (RFC 9110, 8.8.1)."""
    return etag is not None and not etag.startswith("W/")


def is_part_of(kept: DownloadRecord, response: requests.Response) -> bool | None:
    """Tell whether a part that a server sends is one of the file that is kept; None where it doesn't say, but should.

    Not every server heeds If-Range; one that does may leave out Last-Modified, but no ETag (RFC 9110, 15.3.7).
    """
    etag, last_modified = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
    if etag is not None and etag != kept.etag:
        return False
    if etag is not None and is_strong(etag):
        return True
    if kept.last_modified is not None and last_modified is not None:
        return last_modified == kept.last_modified
    return True if etag == kept.etag else None


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it arrives; raises InterruptedTransferError when it ends before its announced length.

    Read through urllib3, since requests drops what came in the chunk that a connection breaks in.
    """
    try:
        while piece := response.raw.read1(CHUNK, decode_content=False):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise InterruptedTransferError(f"broke off ({_cause(error)})") from error


def sent_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Return where the sent part starts and how long the whole file is, each None where Content-Range doesn't say."""
    found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        return None, None
    start, total = found.groups()
    return _number(start or ""), _number(total)


def _number(text: str) -> int | None:
    """Return what a header says in digits; None where it says something else, or more than any file has bytes."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def _refuse_fault(address: str, key: str, response: requests.Response) -> None:
    status = response.status_code
    if status in TRY_AGAIN:
        asked = response.headers.get("Retry-After", "")
        raise InterruptedTransferError(f"answered {status} {response.reason}", _number(asked) or 0)
    if status not in ANSWERS:
        raise SourceError(f"{key}: {address} answered {status} {response.reason}; check the address")
    if address.startswith("https:") and any(answer.url.startswith("http:") for answer in (*response.history, response)):
        raise SourceError(
            f"{key}: {address} leads to {response.url}, which is not secured; give that address if it is right"
        )
    if status == requests.codes.range_not_satisfiable:
        return  # what it has in its body is about the fault, often a page
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise SourceError(f"{key}: {address} sends its file re-packed, although asked not to")
    if response.headers.get("Content-Type", "").strip().lower().startswith(WEB_PAGES):
        raise SourceError(f"{key}: {address} answered with a web page in place of a file; give the file's own address")


def _name(address: str, response: requests.Response) -> str:
    """Return the name that the server gives the file, else the last part of its address."""
    disposition = Message()
    disposition["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    named = disposition.get_filename()
    return safe_name(named or unquote(urlsplit(address).path))


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a failed connection, without the addresses of objects around it."""
    inner: BaseException | None = error
    while inner is not None:
        error, inner = inner, getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        if not isinstance(inner, BaseException):
            break
    return re.sub(r"<[^>]*>:? ?", "", " ".join(str(error).split())) or type(error).__name__
