"""Download of the weights trained on COCO, from matterport's release."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_MODEL_SIZE = 257_557_808
"""Bytes of that file; no checksum is published."""

SECONDS_TO_CONNECT, SECONDS_TO_WAIT = 20, 60
TRIES_AGAIN = 5


class DownloadError(OSError):
    """The weights couldn't be downloaded; the message says which file to put where."""


def download_trained_weights(
    coco_model_path: str | Path,
    verbose: int = 1,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
) -> None:
    """Download the weights trained on COCO (ResNet-101, 81 classes) to `coco_model_path`, unless it exists.

    An interrupted download is resumed. The file's size is checked, and its sha256 if one is given.

    Args:
        coco_model_path: the file to write, atomically.
        verbose: 0 shows no progress bar.
        sha256: expected hexadecimal digest.
        on_bytes: called with the number of bytes downloaded and of all bytes, instead of the progress bar.

    Raises:
        DownloadError: no connection, or the size or digest of the file is wrong.
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
        raise DownloadError(_message(path, f"{COCO_MODEL_URL} can't be fetched ({why})")) from None
    if fault := _fault(partial, sha256):
        partial.unlink()
        raise DownloadError(_message(path, f"{COCO_MODEL_URL} returned another file than expected: {fault}"))
    partial.replace(path)
    log.info("the COCO weights are in %s", path)


def _fault(file: Path, sha256: str | None) -> str | None:
    if file.stat().st_size != COCO_MODEL_SIZE:
        return f"it has {file.stat().st_size:,} bytes"
    with file.open("rb") as content:
        if sha256 and hashlib.file_digest(content, "sha256").hexdigest() != sha256.lower():
            return f"its sha256 is not {sha256}"
    return None


def _message(path: Path, fault: str) -> str:
    return (
        f"{fault}; call again to continue. Without a network: fetch mask_rcnn_coco.h5 ({COCO_MODEL_SIZE:,} bytes) from "
        f"{COCO_MODEL_URL} on another machine and put it at {path.absolute()}"
    )
