"""Downloads of files that are shared on Google Drive, by gdown."""

import logging
import shutil
import threading
from pathlib import Path

import requests

from pipeline.errors import SourceError
from pipeline.running import locks
from pipeline.running.progress import Progress
from pipeline.sources.download import LOCK, TIMEOUT, RemoteIdentity, keep, read_record, safe_name

TRIES_AGAIN = 5
NO_REST = "did not honor the requested byte range"
"""Part of gdown's message when a server doesn't give the rest that it asked for; asking again would not help."""

log = logging.getLogger(__name__)


def fetch(file_id: str, key: str, downloads: Path, stop: threading.Event | None = None) -> Path:
    """Return the Drive file of that id, downloaded at most once, into a folder of its own under `downloads`.

    An interrupted download is resumed where Drive gives its rest. Raises SourceError, naming the id and its
    recipe `key`, when Drive does not give the file (not shared, quota used up, no network), when `stop` is set, and
    for a file that can't be used.
    """
    import gdown

    folder, address = downloads / f"gdrive-{file_id}", f"gdrive:{file_id}"
    with locks.held(folder / LOCK, f"the download of {address}"):
        if record := read_record(folder):
            return folder / record.file
        incoming = folder / "incoming"
        try:
            file = _download(file_id, incoming, stop)
        except gdown.DownloadCancelled as error:
            raise SourceError(f"{key}: the download of {address} was stopped") from error
        except (gdown.DownloadError, requests.RequestException) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            advice = "is it shared with anyone who has the link?"
            raise SourceError(f"{key}: {address} can't be fetched: {why}; {advice}") from error
        except OSError:
            shutil.rmtree(incoming)
            raise
        return keep(folder, file, safe_name(file.name), RemoteIdentity(address), f"{key}: {address}")


def _download(file_id: str, incoming: Path, stop: threading.Event | None) -> Path:
    """Fetch the rest of what is in `incoming`, or all of it where there is no such rest."""
    import gdown

    with Progress(f"downloading gdrive:{file_id}", None, "B") as bar:

        def show(received: int, total: int | None) -> None:
            bar.total = total
            bar.advance(received - bar.done)

        def download() -> Path:
            incoming.mkdir(exist_ok=True)
            got = gdown.download(
                id=file_id,
                output=f"{incoming}/",
                quiet=True,
                resume=True,
                retries=TRIES_AGAIN,
                timeout=TIMEOUT,
                progress=show,
                cancel=stop,
            )
            return Path(str(got))

        try:
            return download()
        except gdown.DownloadError as error:
            if NO_REST not in str(error):
                raise
            log.info("gdrive:%s gives no rest of what is here of it: fetching it anew", file_id)
            shutil.rmtree(incoming)
            return download()
