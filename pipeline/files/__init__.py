"""Files and archives: atomic writing, digests, zips, headers of images; where this user's data lie."""

import os
from pathlib import Path

DOWNLOADS = ".downloads"


def data_folder() -> Path:
    """Return `$BDD_DATA_DIR`, by default (and where it is empty) `data` in the working folder, as an absolute path."""
    return Path(os.environ.get("BDD_DATA_DIR") or "data").absolute()


def downloads_folder() -> Path:
    """Return the folder of downloads and drawn samples, `$BDD_DATA_DIR/.downloads`."""
    return data_folder() / DOWNLOADS
