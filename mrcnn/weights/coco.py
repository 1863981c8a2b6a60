"""Fetching the COCO weights of the original's release, and saying what to do where there is no network.

Reading weights is `weights`' subject.
"""

import base64
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

COCO_MODEL_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_MODEL_SIZE = 257_557_808
"""Bytes of that file; its publisher names no checksum."""

CHUNK = 1 << 20
SECONDS_TO_CONNECT, SECONDS_TO_WAIT = 20, 60
_PARTIAL_CONTENT = 206


class DownloadError(OSError):
    """The weights couldn't be fetched whole; the message says which file to put where."""


def download_trained_weights(
    coco_model_path: str | Path,
    verbose: int = 1,
    sha256: str | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
) -> None:
    """Fetch the weights trained on COCO (ResNet-101, 81 classes) to `coco_model_path`; a file that is there is kept.

    What an earlier, broken-off call fetched is used. The file's size is checked, its sha256 where one is given, and
    the MD5 that the server names, if it does.

    Args:
        coco_model_path: where the file goes; it appears whole or not at all.
        verbose: 0 shows no progress bar.
        sha256: hexadecimal digest that the file must have.
        on_bytes: called with bytes done and bytes in all, in place of the bar.

    Raises:
        DownloadError: no connection, or the file isn't what was promised.
    """
    path = Path(coco_model_path)
    if path.is_file():
        return
    partial = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    md5 = _fetch(COCO_MODEL_URL, partial, on_bytes or _bar(path.name, verbose))
    _check(partial, path, sha256, md5)
    partial.replace(path)
    log.info("the COCO weights are in %s", path)


def _fetch(url: str, partial: Path, on_bytes: Callable[[int, int], None]) -> str | None:
    """Fetch what is missing in `partial`; returns the MD5 (base64) that the server names, if any."""
    import requests

    done = partial.stat().st_size if partial.exists() else 0
    if done >= COCO_MODEL_SIZE:
        return None
    try:
        with requests.get(
            url,
            headers={"Range": f"bytes={done}-"} if done else {},
            stream=True,
            timeout=(SECONDS_TO_CONNECT, SECONDS_TO_WAIT),
        ) as answer:
            answer.raise_for_status()
            done = done if answer.status_code == _PARTIAL_CONTENT else 0
            with partial.open("ab" if done else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    on_bytes(done, COCO_MODEL_SIZE)
                    if done > COCO_MODEL_SIZE:
                        break
            return answer.headers.get("Content-MD5")
    except requests.RequestException as error:
        raise DownloadError(_what_to_do(partial.with_suffix(""), f"{url} can't be fetched ({error})")) from None


def _check(partial: Path, path: Path, sha256: str | None, md5: str | None) -> None:
    size = partial.stat().st_size
    if size < COCO_MODEL_SIZE:
        raise DownloadError(_what_to_do(path, f"the connection broke after {size:,} bytes; call again to go on"))
    fault = f"it has {size:,} bytes" if size > COCO_MODEL_SIZE else None
    if sha256 and _digest(partial, "sha256").hexdigest() != sha256.lower():
        fault = f"its sha256 is not {sha256}"
    if md5 and base64.b64encode(_digest(partial, "md5").digest()).decode() != md5:
        fault = f"its MD5 is not {md5}"
    if fault:
        partial.unlink()
        raise DownloadError(_what_to_do(path, f"what {COCO_MODEL_URL} gave is not the file expected: {fault}"))


def _digest(path: Path, algorithm: str) -> Any:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm)


def _what_to_do(path: Path, what: str) -> str:
    return (
        f"{what}. Without a network: fetch mask_rcnn_coco.h5 ({COCO_MODEL_SIZE:,} bytes) from {COCO_MODEL_URL} on "
        f"another machine and put it at {path.absolute()}"
    )


def _bar(name: str, verbose: int) -> Callable[[int, int], None]:
    from tqdm import tqdm

    bar = tqdm(total=COCO_MODEL_SIZE, desc=name, unit="B", unit_scale=True, disable=not verbose)

    def show(done: int, total: int) -> None:
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show
