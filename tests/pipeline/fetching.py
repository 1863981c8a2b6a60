"""Downloads with little patience, for tests."""

from pathlib import Path

from pipeline.download import Patience, fetch

QUICK = Patience(tries=3, first_wait=0.01, longest_wait=0.05, connect=2, read=2)
KEY = "source.images"


def get(address: str, downloads: Path, patience: Patience = QUICK) -> Path:
    """Fetch the file at `address` into `downloads`."""
    return fetch(address, KEY, downloads, patience=patience)
