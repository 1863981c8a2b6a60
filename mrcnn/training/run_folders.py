"""Folders and files of training runs: `<model_dir>/<name><timestamp>/mask_rcnn_<name>_0001.h5`.

What is in a weights file is the subject of weights; the state beside it that of checkpoints.
"""

import datetime
import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TIMESTAMP = r"\d{8}T\d{4}(?:\d{2})?(?:_\d+)?"

RESERVED = ".run"
"""A file in each folder that a training began in."""

_given: set[Path] = set()
"""Folders that models of this process were given; most of them are never created, since only training writes."""
_lock = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """A weights file that training wrote."""

    path: Path
    epoch: int
    """Epochs that were finished when it was written."""


def new_run_folder(model_dir: Path, name: str, now: datetime.datetime | None = None) -> Path:
    """The folder of a run that begins now: it does not exist yet, is not created, and is given out only once.

    Another process may choose the same one: `reserved_run_folder` settles that when the first file is written.
    """
    moment = (now or datetime.datetime.now().astimezone()).strftime("%Y%m%dT%H%M%S")
    return next(
        folder for folder in _numbered(model_dir / f"{name.lower()}{moment}") if _is_new(folder) and not folder.exists()
    )


def reserved_run_folder(folder: Path) -> Path:
    """Create the folder that `new_run_folder` chose, and return it; with a number behind it where another run did so.

    Raises:
        OSError: it can't be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for candidate in _numbered(folder):
        candidate.mkdir(exist_ok=True)  # a script may have made it, to put files of its own into it
        try:
            (candidate / RESERVED).touch(exist_ok=False)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError("numbers don't end")


def _numbered(folder: Path) -> Iterator[Path]:
    """The folder, then those with 2, 3, … behind its timestamp."""
    yield folder
    stem = re.fullmatch(r"(.*T\d+)_\d+", folder.name)
    for number in itertools.count(2):
        yield folder.with_name(f"{stem[1] if stem else folder.name}_{number}")


def _is_new(folder: Path) -> bool:
    """Whether no model of this process was given this folder; from now on it was."""
    with _lock:
        before = len(_given)
        _given.add(folder.absolute())
        return len(_given) > before


def checkpoint_of(path: Path, name: str) -> Checkpoint | None:
    """The run's checkpoint that `path` is by its names, or None: `<name><timestamp>/mask_rcnn_<name>_<epoch>.h5`."""
    folder = re.fullmatch(rf"{re.escape(name.lower())}{_TIMESTAMP}", path.parent.name)
    file = re.fullmatch(rf"mask_rcnn_{re.escape(name.lower())}_(\d+)\.h5", path.name)
    return Checkpoint(path, int(file[1])) if folder and file else None


def last_checkpoint(model_dir: Path, name: str) -> Checkpoint:
    """The last epoch's checkpoint of the newest run of exactly this name that has one.

    Raises:
        FileNotFoundError: there is none.
    """
    found = [checkpoint_of(path, name) for path in model_dir.glob("*/mask_rcnn_*.h5")]
    checkpoints = [checkpoint for checkpoint in found if checkpoint is not None]
    if not checkpoints:
        raise FileNotFoundError(
            f"no file {name.lower()}<date>T<time>/mask_rcnn_{name.lower()}_<epoch>.h5 in {model_dir}: "
            "no run of that name has finished an epoch there"
        )
    return max(checkpoints, key=lambda checkpoint: (checkpoint.path.parent.name, checkpoint.epoch))
