"""Downloads of files that are shared on Google Drive, by gdown."""

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


def fetch(file_id: str, key: str, downloads: Path, stop: threading.Event | None = None) -> Path:
    """Return the Drive file of that id, downloaded at most once, into a folder of its own under `downloads`.

    An interrupted download is resumed where Drive gives its rest. Raises SourceError, naming the id and its
    recipe `key`, when Drive does not give the file (not shared, quota used up, no network), when `stop` is set, and
    for a file that can't be used.
    """
    import gdown

    folder, address = downloads / f"gdrive-{file_id}", f"gdrive:{file_id}"
    with locks.held(folder / LOCK, f"the download of {address}"), Progress(f"downloading {address}", None, "B") as bar:
        if record := read_record(folder):
            return folder / record.file
        incoming = folder / "incoming"
        incoming.mkdir(exist_ok=True)

        def show(received: int, total: int | None) -> None:
            bar.total = total
            bar.advance(received - bar.done)

        try:
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
        except gdown.DownloadCancelled as error:
            raise SourceError(f"{key}: the download of {address} was stopped") from error
        except (gdown.DownloadError, requests.RequestException) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            advice = "is it shared with anyone who has the link?"
            if NO_REST in why:
                shutil.rmtree(incoming)
                advice = "run it again: it is fetched from its start"
            raise SourceError(f"{key}: {address} can't be fetched: {why}; {advice}") from error
        file = Path(str(got))
        return keep(folder, file, safe_name(file.name), RemoteIdentity(address), f"{key}: {address}")
