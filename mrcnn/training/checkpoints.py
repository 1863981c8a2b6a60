"""The state of a training run on disk: variables, optimizer and progress, from which training resumes exactly."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from mrcnn.training.run_folders import is_run_folder
from mrcnn.weights.atomic import atomic_write

STATE_FILE = "training_state.h5"
"""In the run's folder; replaced atomically."""

FORMAT = 2


class StateError(ValueError):
    """Training can't resume from a state file; the message says why, and what to do."""


@dataclass(frozen=True)
class TrainingState:
    """The progress of a run."""

    step: int
    """Steps done since the beginning of the first epoch."""
    epoch: int
    """Epochs finished: trained, validated and written."""
    layers: str
    """The argument `layers` of `train` for this stage."""
    epochs: int
    """The last epoch of this stage."""
    first_step: int
    """The first step of this stage."""
    seed: int
    history: tuple[dict[str, float], ...] = ()
    """A row for each finished epoch."""
    pending: dict[str, float] = field(default_factory=dict)
    """Losses of an epoch that was trained but not validated."""
    best_epoch: int | None = None
    best_value: float | None = None
    validations_since_best: int = 0


def write_state(folder: Path, state: TrainingState, model: keras.Model) -> Path:
    """Write `state` and all variables of `model` and its optimizer to the run's folder, and return the file's path.

    Raises:
        OSError: ENOSPC, if the disk has not enough space; the existing state is kept.
    """
    path, parts = folder / STATE_FILE, _variables(model)
    size = sum(map(_bytes, (variable for variables in parts.values() for variable in variables)))
    with atomic_write(path, size) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["state"] = json.dumps(asdict(state))
        for name, variables in parts.items():
            group = file.create_group(name)
            for number, variable in enumerate(variables):
                group.create_dataset(f"{number:05d}", data=np.asarray(variable)).attrs["path"] = variable.path
    return path


def _bytes(variable: keras.Variable) -> int:
    return math.prod(variable.shape) * tf.as_dtype(variable.dtype).size


def read_state(folder: Path) -> TrainingState | None:
    """Return the state in the run's folder, or None if there is none.

    Raises:
        StateError: the file is damaged or of another format.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            content = json.loads(file.attrs["state"]) if file.attrs["format"] == FORMAT else None
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if getattr(error, "errno", None):  # of the operating system (locked, no permission, …), not of the content
            raise
        raise StateError(f"{path}: this training state can't be read ({error}); delete it to start again") from None
    if content is None:
        raise StateError(f"{path}: this training state is of another version; delete it to start again")
    return TrainingState(**{**content, "history": tuple(content["history"])})


def restore_variables(folder: Path, model: keras.Model, with_optimizer: bool) -> None:
    """Assign the values in the run's folder to the variables of `model` and, on request, of its optimizer.

    Raises:
        StateError: the variables differ from the stored ones (the message names the first), or the file is damaged.
    """
    path = folder / STATE_FILE
    try:
        _restore(path, model, with_optimizer)
    except (OSError, KeyError, RuntimeError) as error:
        raise StateError(f"{path}: this training state can't be read ({error}); delete it to start again") from None


def _restore(path: Path, model: keras.Model, with_optimizer: bool) -> None:
    with h5py.File(path, "r") as file:
        for name, variables in _variables(model).items():
            if name == "optimizer" and not with_optimizer:
                continue
            _check_variables(path, file[name], variables)
            for number, variable in enumerate(variables):
                variable.assign(file[name][f"{number:05d}"][()])


def _check_variables(path: Path, group: h5py.Group, variables: list[keras.Variable]) -> None:
    if len(group) != len(variables):
        raise StateError(
            f"{path}: holds {len(group)} variables of the {group.name[1:]}, where this one has {len(variables)}; "
            "the configuration differs from that of the run to resume"
        )
    for number, variable in enumerate(variables):
        stored = group[f"{number:05d}"]
        if stored.shape != tuple(variable.shape):
            raise StateError(
                f"{path}: {stored.attrs['path']} has shape {stored.shape}, where this model's {variable.path} has "
                f"{tuple(variable.shape)}; the configuration differs from that of the run to resume"
            )


def _variables(model: keras.Model) -> dict[str, list[keras.Variable]]:
    """Return the variables of the model, including those of its metrics, and of its optimizer."""
    variables = {id(variable): variable for variable in model.variables}
    for metric in model.metrics:
        variables.update({id(variable): variable for variable in metric.variables})
    return {"model": list(variables.values()), "optimizer": list(model.optimizer.variables)}


def newest_run(model_dir: Path | str, name: str) -> Path | None:
    """Return the newest folder `<name><timestamp>` in `model_dir` that holds a training state, or None."""
    folders = [path.parent for path in Path(model_dir).glob(f"*/{STATE_FILE}") if is_run_folder(path.parent, name)]
    return max(folders, key=lambda folder: folder.name, default=None)
