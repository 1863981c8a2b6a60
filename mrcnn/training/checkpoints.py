"""The state of a training run on disk: everything that a stopped run needs to go on exactly as if never stopped.

Weights for detection are files of their own, in the original's layout: see `weights`.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.weights.whole_file import replaced_file

STATE_FILE = "training_state.h5"
"""In the run's folder; replaced as a whole."""

FORMAT = 2


class StateError(ValueError):
    """A training can't go on from the state on the disk; the message says why, and what to do."""


@dataclass(frozen=True)
class TrainingState:
    """How far a run has come."""

    step: int
    """Steps done, from the first epoch of the run on."""
    epoch: int
    """Epochs finished: trained, validated, written."""
    layers: str
    """What this stage trains, as given to `train`."""
    epochs: int
    """The epoch that this stage ends with."""
    first_step: int
    """The step that this stage began with."""
    seed: int
    history: tuple[dict[str, float], ...] = ()
    """A row for each finished epoch."""
    pending: dict[str, float] = field(default_factory=dict)
    """Losses of an epoch that was trained and not yet validated."""
    best_epoch: int | None = None
    best_value: float | None = None
    validations_since_best: int = 0


def write_state(folder: Path, state: TrainingState, model: Any) -> Path:
    """Write `state` with every variable of `model` and its optimizer to the run's folder; returns the file's path.

    Raises:
        OSError: ENOSPC, where the disk has no room for it; the state that is there stays.
    """
    import h5py

    path, parts = folder / STATE_FILE, _variables(model)
    size = sum(map(_bytes, (variable for variables in parts.values() for variable in variables)))
    with replaced_file(path, size) as beside, h5py.File(beside, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["state"] = json.dumps(asdict(state))
        for name, variables in parts.items():
            group = file.create_group(name)
            for number, variable in enumerate(variables):
                group.create_dataset(f"{number:05d}", data=np.asarray(variable)).attrs["path"] = variable.path
    return path


def _bytes(variable: Any) -> int:
    import tensorflow as tf

    return math.prod(variable.shape) * tf.as_dtype(variable.dtype).size


def read_state(folder: Path) -> TrainingState | None:
    """Return the state in the run's folder, or None where there is none.

    Raises:
        StateError: the file is damaged or of another format.
    """
    import h5py

    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            content = json.loads(file.attrs["state"]) if file.attrs["format"] == FORMAT else None
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if getattr(error, "errno", None):  # the machine's word (locked, no permission, …), not of the file's content
            raise
        raise StateError(f"{path}: this training state can't be read ({error}); delete it to begin anew") from None
    if content is None:
        raise StateError(f"{path}: this training state is of another version; delete it to begin anew")
    return TrainingState(**{**content, "history": tuple(content["history"])})


def restore_variables(folder: Path, model: Any, with_optimizer: bool) -> None:
    """Give `model`, and on request its optimizer, the values in the run's folder.

    Raises:
        StateError: the model has other variables than the one that was written (the message names the first), or the
            file is damaged.
    """
    path = folder / STATE_FILE
    try:
        _restore(path, model, with_optimizer)
    except (OSError, KeyError, RuntimeError) as error:
        raise StateError(f"{path}: this training state can't be read ({error}); delete it to begin anew") from None


def _restore(path: Path, model: Any, with_optimizer: bool) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        for name, variables in _variables(model).items():
            if name == "optimizer" and not with_optimizer:
                continue
            _check_variables(path, file[name], variables)
            for number, variable in enumerate(variables):
                variable.assign(file[name][f"{number:05d}"][()])


def _check_variables(path: Path, group: Any, variables: list[Any]) -> None:
    if len(group) != len(variables):
        raise StateError(
            f"{path}: holds {len(group)} variables of the {group.name[1:]}, where this one has {len(variables)}; "
            "the configuration is not the one of the run that is to go on"
        )
    for number, variable in enumerate(variables):
        stored = group[f"{number:05d}"]
        if stored.shape != tuple(variable.shape):
            raise StateError(
                f"{path}: {stored.attrs['path']} has shape {stored.shape}, where this model's {variable.path} has "
                f"{tuple(variable.shape)}; the configuration is not the one of the run that is to go on"
            )


def _variables(model: Any) -> dict[str, list[Any]]:
    """Return the variables of the model (running means of its metrics included) and of its optimizer."""
    found = {id(variable): variable for variable in model.variables}
    for metric in model.metrics:
        found.update({id(variable): variable for variable in metric.variables})
    return {"model": list(found.values()), "optimizer": list(model.optimizer.variables)}


def newest_run(model_dir: Path | str, name: str) -> Path | None:
    """Return the newest folder `<name><timestamp>` in `model_dir` that holds a training state, or None."""
    pattern = re.compile(rf"{re.escape(name.lower())}\d{{8}}T\d{{4,6}}(_\d+)?")
    folders = [path.parent for path in Path(model_dir).glob(f"*/{STATE_FILE}") if pattern.fullmatch(path.parent.name)]
    return max(folders, key=lambda folder: folder.name, default=None)
