"""Names of run folders and weights files: `<model_dir>/<name><timestamp>/mask_rcnn_<name>_0001.h5`."""

import datetime
import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESERVED = ".run"
"""A file in the folder of each run that has started to train."""

_returned: set[Path] = set()
"""Folders that `new_run_folder` returned in this process; most are never created, since only training writes."""
_lock = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """A weights file that training wrote."""

    path: Path
    epoch: int
    """Number of epochs finished when it was written."""


def checkpoint_path(folder: Path, name: str, epoch: int) -> Path:
    """Return the path of the weights file after `epoch` epochs of a run called `name`."""
    return folder / f"mask_rcnn_{name.lower()}_{epoch:04d}.h5"


def new_run_folder(model_dir: Path, name: str, now: datetime.datetime | None = None) -> Path:
    """Return the folder of a run that starts now: it doesn't exist, is not created, and is returned only once.

    Another process may choose the same folder; `reserved_run_folder` resolves that before the first file is written.
    """
    timestamp = (now or datetime.datetime.now().astimezone()).strftime("%Y%m%dT%H%M%S")
    candidates = _numbered(model_dir / f"{name.lower()}{timestamp}")
    return next(folder for folder in candidates if _is_new(folder) and not folder.exists())


def reserved_run_folder(folder: Path) -> Path:
    """Create the folder that `new_run_folder` returned, with a number appended if another run has reserved it.

    Raises:
        OSError: it can't be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for candidate in _numbered(folder):
        candidate.mkdir(exist_ok=True)  # a script may have created it for files of its own
        try:
            (candidate / RESERVED).touch(exist_ok=False)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("_numbered is infinite")


def _numbered(folder: Path) -> Iterator[Path]:
    """Yield the folder, then its name with _2, _3, … after the timestamp."""
    yield folder
    stem = re.fullmatch(r"(.*T\d+)_\d+", folder.name)
    for number in itertools.count(2):
        yield folder.with_name(f"{stem[1] if stem else folder.name}_{number}")


def _is_new(folder: Path) -> bool:
    """Return whether `new_run_folder` has not returned this folder yet, and remember it."""
    with _lock:
        before = len(_returned)
        _returned.add(folder.absolute())
        return len(_returned) > before


def is_run_folder(folder: Path, name: str) -> bool:
    """Return whether a folder's name is `<name><timestamp>`."""
    return re.fullmatch(rf"{re.escape(name.lower())}\d{{8}}T\d{{4}}(?:\d{{2}})?(?:_\d+)?", folder.name) is not None


def checkpoint_of(path: Path, name: str) -> Checkpoint | None:
    """Return the checkpoint at `path`, or None unless it is named `<name><timestamp>/mask_rcnn_<name>_<epoch>.h5`."""
    file = re.fullmatch(rf"mask_rcnn_{re.escape(name.lower())}_(\d+)\.h5", path.name)
    return Checkpoint(path, int(file[1])) if file and is_run_folder(path.parent, name) else None


def last_checkpoint(model_dir: Path, name: str) -> Checkpoint:
    """Return the checkpoint of the last epoch of the newest run of exactly this name that has one.

    Raises:
        FileNotFoundError: there is none.
    """
    candidates = [checkpoint_of(path, name) for path in model_dir.glob("*/mask_rcnn_*.h5")]
    checkpoints = [checkpoint for checkpoint in candidates if checkpoint is not None]
    if not checkpoints:
        raise FileNotFoundError(
            f"no file {name.lower()}<date>T<time>/mask_rcnn_{name.lower()}_<epoch>.h5 in {model_dir}: "
            "no run of that name has finished an epoch there"
        )
    return max(checkpoints, key=lambda checkpoint: (checkpoint.path.parent.name, checkpoint.epoch))
