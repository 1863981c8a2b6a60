"""Downloads with little patience, for tests."""

import random
from pathlib import Path

from pipeline.sources.download import Patience, fetch

QUICK = Patience(tries=3, first_wait=0.01, longest_wait=0.05, connect=2, read=2)
KEY = "source.images"
LARGE = random.Random(2019).randbytes(3_000_000)
"""Not of any chance: one in 128 files of chance begins with a bracket, is taken for JSON, and refused as cut off."""
ONE_BYTE = 1
"""What may be sent of a file that is here: its last byte, so that its length is known."""


def get(address: str, downloads: Path, patience: Patience = QUICK) -> Path:
    """Fetch the file at `address` into `downloads`."""
    return fetch(address, KEY, downloads, patience=patience)
