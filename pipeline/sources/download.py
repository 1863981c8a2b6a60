"""Fetches files over HTTP: resumed where the server can, tried again with growing waits, whole or not at all.

What the server's answers mean is `pipeline.sources.http_answers`'; Google Drive is `pipeline.sources.drive`'s.
"""

import dataclasses
import hashlib
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
from msgspec.structs import replace

from pipeline.errors import SourceError
from pipeline.files.cut_off import refuse_cut_off, usable
from pipeline.files.places import downloads_folder
from pipeline.running import locks
from pipeline.running.progress import Progress
from pipeline.sources.download_cache import (
    LOCK,
    PART,
    DownloadRecord,
    drop_part,
    keep_file,
    read_part_record,
    read_record,
    write_record,
)
from pipeline.sources.http_answers import (
    InterruptedTransferError,
    is_part_of,
    is_same_file,
    is_strong,
    offered_file,
    open_address,
    pieces,
    sent_range,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How often a transfer that brings nothing new is tried, and how long is waited between; seconds."""

    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 30.0
    connect: float = 15.0
    read: float = 60.0

    def wait(self, failures: int, asked: float) -> float:
        """Return how long to wait after so many failures in a row; `asked` is what the server wants."""
        return min(self.longest_wait, max(asked, self.first_wait * 2 ** (failures - 1)))


PATIENCE = Patience()
BRIEF = dataclasses.replace(PATIENCE, tries=3)


_told: dict[str, dict[str, Any]] = {}
"""By address: the identity that this process was told last, under which a copy of something else must not be stored."""


def remote_identity(address: str, key: str, patience: Patience = BRIEF) -> dict[str, Any]:
    """Return ETag, time of change and size of what is at `address` now; unreachable, those of its last download.

    Raises SourceError, naming the address and its recipe `key`, when it can't be reached and was never downloaded.
    """
    try:
        offered = _tried(lambda: _look(address, key, patience), address, key, patience)
    except SourceError as error:
        kept = read_record(_folder(address, downloads_folder()))
        if kept is None:
            raise
        log.warning("%s; the copy downloaded before is used", error)
        offered = kept
    if not (offered.etag or offered.last_modified or offered.size):
        log.warning(
            "%s: %s: its server tells neither a version nor a date nor a size, so another file there goes unnoticed: "
            "give it another address then (%s)",
            key,
            address,
            f"{address}{'&' if '?' in address else '?'}v=2",
        )
    _told[address] = _identity(offered)
    return _identity(offered)


def _identity(record: DownloadRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("address", "etag", "last_modified", "size")}


def fetch(
    address: str, key: str, downloads: Path, stop: threading.Event | None = None, patience: Patience = PATIENCE
) -> Path:
    """Return the file at `address`, downloaded at most once, into a folder of its own under `downloads`.

    What a killed download left is continued where the server can, if the file there is still the same (If-Range); a
    copy is used as long as the server says that it is what it has, and as long, or can't be reached and had nothing
    else when its identity was asked for. Raises SourceError for what trying again won't mend (404, a web page in place
    of a file), when `patience` ends, or when `stop` is set, for a file whose own bytes say that its end is missing, and
    for an archive that can't be used, which stays. A full disk is an OSError, and leaves nothing.
    """
    folder = _folder(address, downloads)
    with locks.held(folder / LOCK, f"the download of {address}"):
        transfer = _Transfer(address, key, folder, stop or threading.Event(), patience)
        try:
            file = _tried(transfer.go_on, address, key, patience, transfer)
        except SourceError as error:
            kept = read_record(folder)
            if kept is None or not transfer.may_use(kept):
                raise
            log.warning("%s; the copy downloaded before is used", error)
            file = folder / kept.name
        return usable(file, f"{key}: {address}")


class _Transfer:
    """One file on its way into `folder`; `go_on` is called until it returns."""

    def __init__(self, address: str, key: str, folder: Path, stop: threading.Event, patience: Patience) -> None:
        self.address, self.key, self.folder, self.stop, self.patience = address, key, folder, stop, patience
        self.part = folder / PART
        self.asks_by_range = True
        """Whether the last byte of the complete file is asked for, to learn whether it is still the same."""
        self.has_another = False
        """Whether the server has offered a file that is not the complete one."""

    @property
    def received(self) -> int:
        """How many bytes are here of a file that is not complete."""
        return self.part.stat().st_size if self.part.exists() else 0

    def may_use(self, kept: DownloadRecord) -> bool:
        """Say whether the complete file is what the server has, as far as it said, and what its identity was of."""
        told = _told.get(self.address)
        return not (self.stop.is_set() or self.has_another) and told in (None, _identity(kept))

    def go_on(self) -> Path:
        """Fetch what is missing and return the finished file; raises InterruptedTransferError to be called again."""
        kept, part = read_record(self.folder), read_part_record(self.folder) if self.received else None
        asked = part or (kept if self.asks_by_range else None)
        timeout = (self.patience.connect, self.patience.read)
        with open_address(self.address, self.key, _conditions(asked, self.received), timeout) as response:
            if response.status_code == requests.codes.range_not_satisfiable:
                record = self._judge_refused_rest(asked, response)
            elif response.status_code == requests.codes.partial_content:
                record = self._judge_rest(asked, response)
                if record.length is not None:
                    return self.folder / record.name
                self._receive(record, response)
            else:
                record = offered_file(self.address, response)
                if kept is not None and is_same_file(kept, record):
                    drop_part(self.folder)
                    return self.folder / kept.name
                self._begin(record)
                self._receive(record, response)
        return self._finish(record)

    def _judge_rest(self, asked: DownloadRecord | None, response: requests.Response) -> DownloadRecord:
        """Return the record that the offered rest belongs to; starts anew when it is not the rest of what is here."""
        start, total = sent_range(response)
        if asked is None or start != _rest(asked, self.received):
            raise self._anew(asked, "sent another part than the rest that was asked for")
        is_of_it = is_part_of(asked, response)
        if is_of_it is False or total not in (None, asked.size if asked.length is None else asked.length):
            self.has_another = asked.length is not None
            raise self._anew(asked, "sent a part of another file than the one that was asked for")
        if not is_of_it:
            raise self._anew(asked, "doesn't say which file its part is of")
        return asked

    def _judge_refused_rest(self, asked: DownloadRecord | None, response: requests.Response) -> DownloadRecord:
        """Return the record when there is no rest since everything is here, whatever size was announced before."""
        _, total = sent_range(response)
        if asked is None or asked.length is not None or total is None or total != self.received:
            self.has_another = True
            raise self._anew(asked, "refused the rest after what is here")
        return replace(asked, size=total)

    def _anew(self, asked: DownloadRecord | None, why: str) -> InterruptedTransferError:
        """Drop the part that is here, so that it is fetched from its start, and return the reason to be called again.

        The complete file stays: what the server says of the whole one tells whether that is still the same.
        """
        drop_part(self.folder)
        if asked is None or asked.length is not None:
            self.asks_by_range = False
        return InterruptedTransferError(why)

    def _begin(self, record: DownloadRecord) -> None:
        self.has_another = True
        drop_part(self.folder)
        free = shutil.disk_usage(self.folder).free
        if record.size is not None and record.size > free:
            raise SourceError(
                f"{self.key}: {self.address} has {record.size:,} bytes, as its server says, "
                f"and there is room for {free:,} in {self.folder}"
            )
        write_record(self.folder, record)

    def _receive(self, record: DownloadRecord, response: requests.Response) -> None:
        with Progress(f"downloading {record.name}", record.size, "B") as bar, self.part.open("ab") as file:
            bar.advance(self.received)
            try:
                for piece in pieces(response):
                    if self.stop.is_set():
                        raise SourceError(f"{self.key}: the download of {self.address} was stopped")
                    file.write(piece)
                    bar.advance(len(piece))
            except OSError:
                self.part.unlink()
                raise

    def _finish(self, record: DownloadRecord) -> Path:
        if record.size is not None and self.received != record.size:
            raise InterruptedTransferError(f"sent {self.received:,} bytes where it had announced {record.size:,}")
        try:
            refuse_cut_off(self.part, record.name, f"{self.key}: {self.address}")
        except SourceError:
            drop_part(self.folder)
            raise
        return keep_file(self.folder, self.part, record)


def _conditions(record: DownloadRecord | None, received: int) -> dict[str, str]:
    """Return the headers that ask for the rest of a file, only if it did not change (RFC 9110, 13.1.5)."""
    start = _rest(record, received) if record is not None else 0
    if record is None or not start:
        return {}
    validator = record.etag if is_strong(record.etag) else record.last_modified
    return {"Range": f"bytes={start}-", "If-Range": validator} if validator else {}


def _rest(record: DownloadRecord, received: int) -> int:
    """Return where the rest to ask for starts: of a complete file at its last byte, since the answer has the length.

    Whether it changed could be asked for less (If-None-Match), but a 304 does not say how long the file is now.
    """
    return received if record.length is None else record.length - 1


def _look(address: str, key: str, patience: Patience) -> DownloadRecord:
    """Ask for the file and hang up after the headers: not every server answers HEAD as it answers GET."""
    with open_address(address, key, {}, (patience.connect, patience.read)) as response:
        return offered_file(address, response)


def _tried(
    attempt: Callable[[], Result], address: str, key: str, patience: Patience, transfer: _Transfer | None = None
) -> Result:
    """Return what `attempt` returns, tried again as `patience` says; bytes never had before start the count anew."""
    failures, most_received = 0, 0
    while True:
        try:
            return attempt()
        except InterruptedTransferError as error:
            received = transfer.received if transfer else 0
            failures = 1 if received > most_received else failures + 1
            most_received = max(received, most_received)
            if failures >= patience.tries:
                raise SourceError(f"{key}: {address} {error}, {failures} times in a row; try again later") from error
            wait = patience.wait(failures, error.wait)
            log.info("%s %s; trying again in %.0f s", address, error, wait)
            # A set `stop` ends the wait; the next attempt then says so.
            (transfer.stop if transfer else threading.Event()).wait(wait)


def _folder(address: str, downloads: Path) -> Path:
    return downloads / hashlib.sha256(address.encode()).hexdigest()[:16]
