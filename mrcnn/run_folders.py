"""Folders and files of training runs: `<model_dir>/<name><timestamp>/mask_rcnn_<name>_0001.h5`.

What is in a weights file is the subject of weights; the state beside it that of checkpoints.
"""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

_TIMESTAMP = r"\d{8}T\d{4}(?:\d{2})?(?:_\d+)?"


@dataclass(frozen=True)
class Checkpoint:
    """A weights file that training wrote."""

    path: Path
    epoch: int
    """Epochs that were finished when it was written."""


def new_run_folder(model_dir: Path, name: str, now: datetime.datetime | None = None) -> Path:
    """The folder of a run that begins now; it does not exist yet, and is not created."""
    moment = (now or datetime.datetime.now().astimezone()).strftime("%Y%m%dT%H%M%S")
    folder, number = model_dir / f"{name.lower()}{moment}", 1
    while folder.exists():
        number += 1
        folder = model_dir / f"{name.lower()}{moment}_{number}"
    return folder


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
