"""Fetches a file that is shared on Google Drive, through gdown, at most once.

Other addresses are `pipeline.sources.download`'s.
"""

import logging
import shutil
import threading
from pathlib import Path

import requests

from pipeline.errors import SourceError
from pipeline.files.cut_off import refuse_cut_off, usable
from pipeline.running import locks
from pipeline.running.progress import Progress
from pipeline.sources.download_cache import INCOMING, LOCK, DownloadRecord, keep_file, read_record, safe_name

TRIES_AGAIN = 5
TIMEOUT = (15.0, 60.0)
NO_REST = "did not honor the requested byte range"
"""In what gdown says when a server doesn't give the rest that it asked for; it would say so for good."""

log = logging.getLogger(__name__)


def fetch(file_id: str, key: str, downloads: Path, stop: threading.Event | None = None) -> Path:
    """Return the Drive file of that id, downloaded at most once, into a folder of its own under `downloads`.

    What a killed download left is continued where Drive gives its rest. Raises SourceError, naming the id and its
    recipe `key`, when Drive does not give the file (not shared, quota used up, no network), when `stop` is set, for a
    file whose own bytes say that its end is missing, or for an archive that can't be used, which stays.
    """
    folder = downloads / f"gdrive-{file_id}"
    with locks.held(folder / LOCK, f"the download of gdrive:{file_id}"):
        if record := read_record(folder):
            return usable(folder / record.name, f"{key}: gdrive:{file_id}")
        incoming = folder / INCOMING
        incoming.mkdir(exist_ok=True)
        file = _download(file_id, key, incoming, stop or threading.Event())
        name = safe_name(file.name)
        try:
            refuse_cut_off(file, name, f"{key}: gdrive:{file_id}")
        except SourceError:
            file.unlink()
            raise
        kept = keep_file(folder, file, DownloadRecord(f"gdrive:{file_id}", name, None, None, None))
        return usable(kept, f"{key}: gdrive:{file_id}")


def _download(file_id: str, key: str, incoming: Path, stop: threading.Event) -> Path:
    import gdown

    try:
        return _continued(file_id, incoming, stop)
    except gdown.DownloadCancelled as error:
        raise SourceError(f"{key}: the download of gdrive:{file_id} was stopped") from error
    except (gdown.DownloadError, requests.RequestException) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"{key}: gdrive:{file_id} can't be fetched: {why}; is it shared with anyone who has the link?"
        ) from error
    except OSError:
        shutil.rmtree(incoming)
        raise


def _continued(file_id: str, incoming: Path, stop: threading.Event) -> Path:
    """Fetch the rest of what is in `incoming`, or all of it where there is no such rest (everything was here, say)."""
    import gdown

    try:
        return _asked(file_id, incoming, stop)
    except gdown.DownloadError as error:
        if NO_REST not in str(error):
            raise
        log.info("gdrive:%s gives no rest of what is here of it: fetching it anew", file_id)
    # Drive may only be busy: what is here stays until the whole file is
    anew = incoming.with_name(f"{incoming.name}-anew")
    shutil.rmtree(anew, ignore_errors=True)
    anew.mkdir()
    try:
        got = _asked(file_id, anew, stop)
    except BaseException:
        shutil.rmtree(anew)
        raise
    shutil.rmtree(incoming)
    anew.rename(incoming)
    return incoming / got.name


def _asked(file_id: str, incoming: Path, stop: threading.Event) -> Path:
    import gdown

    with Progress(f"downloading gdrive:{file_id}", None, "B") as bar:

        def show(received: int, total: int | None) -> None:
            bar.total = total
            bar.advance(received - bar.done)

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
