"""Fetching the COCO weights of the original's release, and saying what to do where there is no network."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_MODEL_SIZE = 257_557_808
"""Bytes of that file; its publisher names no checksum."""

SECONDS_TO_CONNECT, SECONDS_TO_WAIT = 20, 60
TRIES_AGAIN = 5


class DownloadError(OSError):
    """The weights couldn't be fetched whole; the message says which file to put where."""


def download_trained_weights(
    coco_model_path: str | Path,
    verbose: int = 1,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
) -> None:
    """Fetch the weights trained on COCO (ResNet-101, 81 classes) to `coco_model_path`; a file that is there is kept.

    What an earlier, broken-off call fetched is used. The file's size is checked, and its sha256 where one is given.

    Args:
        coco_model_path: where the file goes; it appears whole or not at all.
        verbose: 0 shows no progress bar.
        sha256: hexadecimal digest that the file must have.
        on_bytes: called with bytes done and bytes in all, in place of the bar.

    Raises:
        DownloadError: no connection, or the file isn't what was promised.
    """
    import gdown
    import requests

    def show(done: int, _: int | None) -> None:
        if on_bytes:
            on_bytes(done, COCO_MODEL_SIZE)

    path = Path(coco_model_path)
    if path.is_file():
        return
    partial = path.with_name(f"{path.name}.unchecked")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        gdown.download(
            COCO_MODEL_URL,
            str(partial),
            quiet=not verbose or on_bytes is not None,
            resume=True,
            retries=TRIES_AGAIN,
            timeout=(SECONDS_TO_CONNECT, SECONDS_TO_WAIT),
            progress=show,
            use_cookies=False,
        )
    except (gdown.DownloadError, requests.RequestException) as error:
        why = str(error).partition("\n")[0]
        raise DownloadError(_what_to_do(path, f"{COCO_MODEL_URL} can't be fetched ({why})")) from None
    if fault := _fault(partial, sha256):
        partial.unlink()
        raise DownloadError(_what_to_do(path, f"what {COCO_MODEL_URL} gave is not the file expected: {fault}"))
    partial.replace(path)
    log.info("the COCO weights are in %s", path)


def _fault(file: Path, sha256: str | None) -> str | None:
    if file.stat().st_size != COCO_MODEL_SIZE:
        return f"it has {file.stat().st_size:,} bytes"
    with file.open("rb") as content:
        if sha256 and hashlib.file_digest(content, "sha256").hexdigest() != sha256.lower():
            return f"its sha256 is not {sha256}"
    return None


def _what_to_do(path: Path, what: str) -> str:
    return (
        f"{what}; call again to go on. Without a network: fetch mask_rcnn_coco.h5 ({COCO_MODEL_SIZE:,} bytes) from "
        f"{COCO_MODEL_URL} on another machine and put it at {path.absolute()}"
    )
