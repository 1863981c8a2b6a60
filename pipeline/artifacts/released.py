"""Which artifact of `released_model` is released, for each recipe's name: `released-<name>.json` beside them."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from pipeline.artifacts import Artifact, Store
from pipeline.errors import ArtifactError
from pipeline.files.atomic import write_json
from pipeline.running import locks
from pipeline.stages import RELEASED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """What is released under a recipe's name."""

    fingerprint: str
    at: str
    """Time, ISO 8601."""
    verdict: str
    passed_over: tuple[str, ...] = ()
    """Models that a person has replaced by hand: the gate doesn't take them again."""


def file_of(store: Store, name: str) -> Path:
    """Return the file that says what is released under a recipe's name."""
    return store.root / RELEASED / f"released-{name}.json"


def read(store: Store, name: str) -> Release | None:
    """Return what is released under a recipe's name; raises ArtifactError where its file is damaged."""
    file = file_of(store, name)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Release)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"{file}: can't be read ({error}); remove it, and name a model again with python -m pipeline.artifacts "
            "release FINGERPRINT"
        ) from None


def released(store: Store, name: str) -> Artifact | None:
    """Return the released artifact of a recipe's name, where there is one."""
    found = read(store, name)
    folder = found and store.root / RELEASED / found.fingerprint
    if not folder:
        return None
    if not folder.is_dir():
        log.warning("%s: the released model is no longer there", folder)
        return None
    return Artifact(RELEASED, folder.name, folder)


def all_released(store: Store) -> dict[str, Artifact]:
    """Return the released artifacts by their recipes' names, the one released last first."""
    files = sorted((store.root / RELEASED).glob("released-*.json"), key=lambda file: -file.stat().st_mtime_ns)
    names = [file.stem.removeprefix("released-") for file in files]
    found = {name: released(store, name) for name in names}
    return {name: artifact for name, artifact in found.items() if artifact}


def point(store: Store, name: str, artifact: Artifact, verdict: str, passed_over: tuple[str, ...] = ()) -> None:
    """Release an artifact under a recipe's name."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_json(file_of(store, name), asdict(Release(artifact.fingerprint, now, verdict, passed_over)))


@contextmanager
def held(store: Store, name: str) -> Iterator[None]:
    """Decide one at a time what is released under a recipe's name."""
    with locks.held(store.root / RELEASED / f".lock-released-{name}", f"the release of {name}"):
        yield
