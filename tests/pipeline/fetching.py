"""Downloads of the file that a test's server has now."""

import random
import threading
from pathlib import Path

from pipeline.sources.download import RemoteIdentity, fetch
from tests.pipeline.file_server import Behaviour

KEY = "source.images"
LARGE = random.Random(2019).randbytes(3_000_000)
"""Not of any chance: one in 128 files of chance begins with a bracket, and is taken for JSON."""


def identity_of(behaviour: Behaviour, address: str) -> RemoteIdentity:
    """Return what the server says of its file, without asking it."""
    size = behaviour.announce(len(behaviour.content))
    return RemoteIdentity(address, behaviour.etag, behaviour.last_modified, size)


def get(behaviour: Behaviour, address: str, downloads: Path, stop: threading.Event | None = None) -> Path:
    """Fetch the file that the server has now into `downloads`."""
    return fetch(identity_of(behaviour, address), KEY, downloads, stop)
