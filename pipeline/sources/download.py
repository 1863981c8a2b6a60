"""Downloads over HTTP: resumed, verified, and kept once, whole or not at all.

The folder of an address holds `download.json`, the record of the whole file, and a folder for each identity: the part
of one version of a file is never continued with the rest of another.
"""

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from pipeline.errors import ArchiveError, SourceError
from pipeline.files import downloads_folder
from pipeline.files.atomic import LONGEST_NAME, is_clean, sync, write_json
from pipeline.files.zip_reading import is_zip, read_archive
from pipeline.running import locks
from pipeline.running.progress import Progress
from pipeline.secrets import expanded, redacted

TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two pieces."""
WINDOW, LEAST_RATE = 60.0, 1000
"""Seconds, and the bytes a second that a server has to send in them."""
RETRY = Retry(
    total=5,
    other=0,  # certificates, which don't change within seconds
    backoff_factor=0.5,
    status_forcelist={408, 425, 429, 500, 502, 503, 504, *range(520, 525)},  # from 520 on: Cloudflare's
    raise_on_status=False,
    respect_retry_after_header=False,  # some servers ask for an hour
)
TRIES_TO_IDENTIFY = 2
CHUNK = 1 << 16
RECORD, LOCK, PART = "download.json", "lock", ".part"
PAGE_STARTS = (b"<!doctype html", b"<html")

log = logging.getLogger(__name__)


class RemoteIdentity(msgspec.Struct, frozen=True):
    """The version of the file at an address, by its server's headers; equal ones are one file. `size` is in bytes.

    `address` has no password or token: a new one gives the same file.
    """

    address: str
    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None


class Download(msgspec.Struct, frozen=True):
    """The record of a whole file: its path in the download's folder, its length in bytes, and its version."""

    file: str
    length: int
    identity: RemoteIdentity


class _Wanted(msgspec.Struct, frozen=True):
    """A file to fetch: its whole address, its version, and how messages about it begin."""

    address: str
    identity: RemoteIdentity
    what: str


def remote_identity(address: str, key: str) -> RemoteIdentity:
    """Return the version of the file at `address`; where its server can't be reached, that of the copy from before.

    Raises SourceError, naming the address and its recipe `key`, when it can't be reached and was never downloaded.
    """
    what = f"{key}: {redacted(address)}"
    try:
        # Not every server answers HEAD as it answers GET: the connection is closed after the headers.
        with _opened(address, what, {}, RETRY.new(total=TRIES_TO_IDENTIFY)) as response:
            return _identity(address, response)
    except SourceError as error:
        kept = read_record(_folder(redacted(address), downloads_folder()))
        if kept is None:
            raise
        log.warning("%s; the copy downloaded before is used", error)
        return kept.identity


def fetch(
    identity: RemoteIdentity, key: str, downloads: Path, stop: threading.Event | None = None, address: str = ""
) -> Path:
    """Return the file of that identity, downloaded at most once, into a folder of its own under `downloads`.

    `address` is the identity's with its password or token, if it has one. A copy that is here is used without asking
    the server. An interrupted download is resumed where the server can (If-Range). Raises SourceError, naming the
    address and its recipe `key`, when the server has another file by now, for a fault of the server or its file, and
    when `stop` is set. A full disk is an OSError.
    """
    folder, what = _folder(identity.address, downloads), f"{key}: {identity.address}"
    with locks.held(folder / LOCK, f"the download of {identity.address}"):
        kept = read_record(folder)
        if kept and kept.identity == identity:
            return folder / kept.file
        wanted = _Wanted(address or identity.address, identity, what)
        part = _received(wanted, _place(folder, identity), stop or threading.Event())
        return keep(folder, part, part.name.removesuffix(PART), identity, what)


def read_record(folder: Path) -> Download | None:
    """Return the record of the whole file in a download's folder; None where it, or the file, is missing or damaged."""
    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Download)
        return record if (folder / record.file).stat().st_size == record.length else None
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def keep(folder: Path, file: Path, name: str, identity: RemoteIdentity, what: str) -> Path:
    """Make `file`, which lies below `folder`, its whole file, called `name`; only then is the earlier one removed.

    Removes a file that can't be used, and raises SourceError, beginning with `what`.
    """
    try:
        _refuse_unusable(file, name, what)
    except SourceError:
        file.unlink()
        raise
    sync(file)
    target = _place(folder, identity) / name
    target.parent.mkdir(exist_ok=True)
    file.replace(target)
    record = Download(str(target.relative_to(folder)), target.stat().st_size, identity)
    write_json(folder / RECORD, msgspec.to_builtins(record))
    for other in folder.iterdir():
        if other.is_dir() and other != target.parent:
            shutil.rmtree(other)
    return target


def safe_name(name: str) -> str:
    """Return the last part of a name or path that a server gave, without characters that are unsafe in a file name."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    clean = "".join(letter if is_clean(letter) else "_" for letter in last)
    return clean.strip(". ").encode()[-LONGEST_NAME:].decode(errors="ignore") or "download"


def _received(wanted: _Wanted, place: Path, stop: threading.Event) -> Path:
    """Return the whole content as a file in `place` that ends in `.part`; tries without new bytes are counted."""
    place.mkdir(exist_ok=True)
    most = failures = 0
    while True:
        try:
            return _fetch_rest(wanted, place, stop)
        except requests.RequestException as error:
            length = sum(part.stat().st_size for part in place.glob(f"*{PART}"))
            most, failures = max(most, length), 1 if length > most else failures + 1
            if failures > int(RETRY.total or 0):
                again = "run it again, and it goes on from there"
                raise SourceError(f"{wanted.what} broke off time and again ({_cause(error)}); {again}") from error
            log.info("%s broke off (%s): going on", wanted.identity.address, _cause(error))
            stop.wait(RETRY.backoff_factor * 2**failures)


def _fetch_rest(wanted: _Wanted, place: Path, stop: threading.Event) -> Path:
    """Fetch what is missing of the part in `place`; raises requests.RequestException for what may be tried again."""
    identity, what = wanted.identity, wanted.what
    part = next(place.glob(f"*{PART}"), None)
    have = part.stat().st_size if part else 0
    if part and have == identity.size:
        return part
    # If-Range takes a strong validator (RFC 9110, 13.1.5); without one the file is fetched from its start.
    validator = identity.last_modified if (identity.etag or "W/").startswith("W/") else identity.etag
    asked = {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}
    with _opened(wanted.address, what, asked, RETRY) as response:
        is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        answer = _identity(identity.address, response)
        if is_rest:  # its size is not the file's, and it need not say its date (RFC 9110, 15.3.7)
            date = answer.last_modified or identity.last_modified
            answer = msgspec.structs.replace(answer, size=identity.size, last_modified=date)
        if part and (answer != identity or not is_rest):
            part.unlink()
            part = None
        if response.status_code in (206, 416) and not is_rest:
            raise requests.RequestException("sent another part than the rest that was asked for")
        if answer != identity:
            raise SourceError(f"{what} has changed since it was looked at; run it again")
        part = part or place / f"{_name(identity.address, response)}{PART}"
        _write(response, part, identity, what, stop)
    if identity.size not in (None, part.stat().st_size):
        raise requests.RequestException(f"sent {part.stat().st_size:,} bytes in place of {identity.size:,}")
    return part


def _write(response: requests.Response, part: Path, identity: RemoteIdentity, what: str, stop: threading.Event) -> None:
    """Append the body to `part`."""
    with Progress(f"downloading {part.stem}", identity.size, "B") as bar, part.open("ab") as file:
        bar.advance(file.tell())
        for chunk in _chunks(response, what):
            if stop.is_set():
                raise SourceError(f"{what}: the download was stopped")
            file.write(chunk)
            bar.advance(len(chunk))


def _chunks(response: requests.Response, what: str) -> Iterator[bytes]:
    """Yield the body as it arrives.

    Raises requests.RequestException where it breaks off, SourceError where it drips: no piece takes long, but all do.
    """
    began, received = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            yield chunk
            received += len(chunk)
            if (seconds := time.monotonic() - began) >= WINDOW:
                if received < LEAST_RATE * seconds:
                    advice = "try another address, or run it again, and it goes on from there"
                    raise SourceError(f"{what} sends {received:,} bytes in {seconds:.0f} s; {advice}")
                began, received = time.monotonic(), 0
    except HTTPError as error:
        raise requests.ConnectionError(error) from error


@contextmanager
def _opened(address: str, what: str, headers: dict[str, str], retry: Retry) -> Iterator[requests.Response]:
    """Request a file without compression; raises SourceError for a response that is neither a file nor a part of it."""
    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        try:
            whole = expanded(address)
        except ValueError as error:
            raise SourceError(f"{what}: {error}") from None
        try:
            asked = {"Accept-Encoding": "identity", **headers}
            response = session.get(whole, headers=asked, stream=True, timeout=TIMEOUT)
        except (requests.RequestException, ValueError) as error:  # ValueError: a host that is none
            advice = "check the address and the network"
            raise SourceError(f"{what} can't be fetched ({_cause(error)}); {advice}") from error
        with response:
            if fault := _fault(address, response):
                raise SourceError(f"{what} {fault}")
            yield response


def _fault(address: str, response: requests.Response) -> str | None:
    """Return what is wrong with a response, and what to do; None where it is about the file."""
    status = response.status_code
    if address.startswith("https:") and any(each.url.startswith("http:") for each in (*response.history, response)):
        return f"leads to {response.url}, which is not secured; give that address if it is right"
    if status == requests.codes.range_not_satisfiable:
        return None
    if status not in (200, 203, 206):
        advice = "try again later" if RETRY.is_retry("GET", status) else "check the address"
        return f"answered {status} {response.reason}; {advice}"
    return None


def _identity(address: str, response: requests.Response) -> RemoteIdentity:
    headers = response.headers
    return RemoteIdentity(
        redacted(address), headers.get("ETag"), headers.get("Last-Modified"), response.raw.length_remaining
    )


def _name(address: str, response: requests.Response) -> str:
    """Return the name that the server gives the file, else the last part of its address."""
    disposition = Message()
    disposition["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    try:
        given = disposition.get_filename()
    except (LookupError, ValueError):  # in a character set that is none
        given = None
    return safe_name(given or unquote(urlsplit(address).path))


def _refuse_unusable(file: Path, name: str, what: str) -> None:
    """Raise SourceError for an empty file, a web page, JSON without its end, or an archive that can't be read."""
    size = file.stat().st_size
    with file.open("rb") as content:
        start = content.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")
        content.seek(max(0, size - 256))
        end = content.read().rstrip()
    if start.lower().startswith(PAGE_STARTS):
        raise SourceError(f"{what} gave a web page in place of a file; give the file's own address")
    if not size or (start.startswith((b"[", b"{")) and not end.endswith((b"]", b"}"))):
        raise SourceError(f"{what} gave {size:,} bytes that are not a whole file; try again later")
    if is_zip(file) or name.lower().endswith(".zip"):
        try:
            read_archive(file)
        except ArchiveError as error:
            raise SourceError(
                f"{what} gave a file that can't be used: {str(error).replace(str(file), name)}"
            ) from error


def _cause(error: BaseException) -> str:
    """Return the innermost reason of a failed request, on one line."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(inner, BaseException):
        return _cause(inner)
    return redacted(" ".join((inner if isinstance(inner, str) else str(error)).split()))


def _folder(address: str, downloads: Path) -> Path:
    return downloads / hashlib.sha256(address.encode()).hexdigest()[:16]


def _place(folder: Path, identity: RemoteIdentity) -> Path:
    return folder / hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:16]
