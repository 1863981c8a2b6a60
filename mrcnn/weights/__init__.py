"""Weight files in matterport's h5 layout, read and written by layer and tensor name, completely or not at all.

Files are untrusted: only names, shapes and numbers are read, never pickled code.
"""

import logging
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mrcnn.weights.atomic import atomic_write

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

MAX_BYTES = 2**30
"""Largest total size of tensors that `read_file` reads; those of matterport's ResNet-101 have 256 million bytes."""

MAX_CHUNK_BYTES = 2**24
"""Largest chunk of a tensor that is smaller than this itself."""

NON_LAYER_GROUPS = ("optimizer_weights", "anchors")
"""Groups without weights of layers; ports of matterport's code to TensorFlow 2 store anchors as a variable."""

HEADS = re.compile(r"fpn_|rpn_|mrcnn_")
KERAS_VERSION = b"2.2.4"

Key = tuple[str, str]
"""(layer, tensor), e.g. ("conv1", "kernel")."""


class WeightsError(ValueError):
    """A weight file does not fit the network; the message lists every tensor that does not."""


@dataclass(frozen=True)
class Mismatch:
    """Differences between a file and a network."""

    missing: list[str] = field(default_factory=list)
    """Tensors of the network that the file lacks."""
    unexpected: list[str] = field(default_factory=list)
    """Tensors of the file that the network lacks."""
    misshapen: list[str] = field(default_factory=list)
    """Tensors with different shapes, and the shapes."""

    def __bool__(self) -> bool:
        """Return whether there is any difference."""
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        """Return all differences, grouped by kind."""
        kinds = {
            "missing in the file": self.missing,
            "not in the network": self.unexpected,
            "of another shape": self.misshapen,
        }
        return "; ".join(f"{len(names)} {kind}: {', '.join(names)}" for kind, names in kinds.items() if names)


def named_layers(model: "keras.Model") -> "Iterator[tuple[str, keras.layers.Layer]]":
    """Yield the layers with weights, in order, each with the name of its group in a file.

    A layer of a nested model (`rpn_model`) is stored in the group of that model.
    """
    for layer in model.layers:
        for leaf in _leaves(layer):
            yield layer.name, leaf


def _leaves(layer: "keras.layers.Layer") -> "Iterator[keras.layers.Layer]":
    inner = [part for part in layer._flatten_layers(include_self=False, recursive=False) if part.weights]
    if not inner and _tensors_of(layer):
        yield layer
    for part in inner:
        yield from _leaves(part)


def _tensors_of(layer: "keras.layers.Layer") -> "list[keras.Variable]":
    """Return the layer's weights, without integer variables such as step counters."""
    import keras

    return [weight for weight in layer.weights if keras.backend.is_float_dtype(weight.dtype)]


def network_tensors(model: "keras.Model") -> "dict[Key, keras.Variable]":
    """Return the network's variables by (layer, tensor).

    Raises:
        WeightsError: weights don't have a unique name in the layout, so that they would be lost; the message lists all.
    """
    tensors = {(leaf.name, weight.name): weight for _, leaf in named_layers(model) for weight in _tensors_of(leaf)}
    named = {id(weight) for weight in tensors.values()}
    lost = [weight.path for weight in _tensors_of(model) if id(weight) not in named]
    if lost:
        raise WeightsError(
            f"these weights have no layer and name of their own, by which a file could hold them: {', '.join(lost)}"
        )
    return tensors


def read_file(path: str | os.PathLike[str]) -> dict[Key, NDArray[np.float32]]:
    """Return all tensors of a weight file by (layer, tensor); the root may be the group `model_weights`.

    Raises:
        WeightsError: the file is not HDF5, is damaged, holds no weights in this layout or data that is not numeric, or
            declares more than MAX_BYTES.
    """
    with opened_file(path) as stored:
        size = 0
        for dataset in stored.values():
            size += 4 * dataset.size
            if size > MAX_BYTES:
                raise WeightsError(f"{path}: {dataset.name} claims to be {dataset.shape}, too large for a weight")
        return read(stored)


@contextmanager
def opened_file(path: str | os.PathLike[str]) -> Iterator[dict[Key, h5py.Dataset]]:
    """Open a weight file and yield its datasets by (layer, tensor), of which only names and shapes have been read.

    Raises:
        WeightsError: as `read_file`, but for the size.
    """
    with _translated_errors(path):
        file = h5py.File(path, "r")
    with file:
        with _translated_errors(path):
            root = file.get("model_weights", file) if _is_inside(file, "model_weights") else file
            stored = dict(_tensors(root)) if isinstance(root, h5py.Group) else {}
        if not stored:
            raise WeightsError(f"{path} holds no layer weights in the layout of Keras 2 h5 files")
        yield stored


def read(stored: Mapping[Key, h5py.Dataset]) -> dict[Key, NDArray[np.float32]]:
    """Return the values of datasets of an `opened_file`.

    Raises:
        WeightsError: they are damaged or not numeric.
    """
    return {key: _values(dataset) for key, dataset in stored.items()}


def _is_inside(file: h5py.File, name: str) -> bool:
    """Return whether a name is of the file itself: a link to another file would be opened, which may be a pipe."""
    return isinstance(file.get(name, getlink=True), h5py.HardLink)


@contextmanager
def _translated_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Replace all errors that h5py raises for malformed files by a WeightsError that names the file."""
    try:
        yield
    except WeightsError:
        raise
    except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError, MemoryError) as error:
        if not Path(path).exists():
            raise
        raise WeightsError(f"{path} is not a readable HDF5 weight file: {error}") from error


def _tensors(root: h5py.Group) -> Iterator[tuple[Key, h5py.Dataset]]:
    # visititems does not follow links to other files
    datasets: list[tuple[str, h5py.Dataset]] = []
    root.visititems(lambda name, item: datasets.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    for name, dataset in datasets:
        group, *path = name.split("/")
        tensor = path.pop().split(":")[0] if path else ""
        # Keras 3's own files have numbers instead of names
        if tensor and not tensor.isdigit() and group not in NON_LAYER_GROUPS:
            if dataset.shape is None:
                raise WeightsError(f"{root.file.filename}: {dataset.name} holds nothing")
            yield (_layer(group, path[-1] if path else group), tensor), dataset


def _layer(group: str, inner: str) -> str:
    """Return the name of a tensor's layer, from the names of its group and of its subgroup.

    Keras 2 appended a number to repeated names; in nested models such as `rpn_model` the subgroup names the layer.
    """
    plain = re.sub(r"_\d+$", "", inner)
    if group == "rpn_model":
        return plain
    return group if plain in (group, re.sub(r"_\d+$", "", group)) else inner


def _values(dataset: h5py.Dataset) -> NDArray[np.float32]:
    """Return the values [...] of a dataset.

    Raises:
        WeightsError: it is not numeric, is damaged, has chunks much larger than itself, or refers to other files.
    """
    path = dataset.file.filename
    with _translated_errors(path):
        if dataset.dtype.kind not in "fiu":
            raise WeightsError(f"{path}: {dataset.name} holds {dataset.dtype}, which is not numeric")
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        if chunk > max(dataset.nbytes, MAX_CHUNK_BYTES):
            raise WeightsError(f"{path}: {dataset.name} claims to be stored in chunks of {chunk:,} bytes")
        if dataset.is_virtual or dataset.external:
            raise WeightsError(f"{path}: {dataset.name} is stored in other files, which are not read")
        return np.asarray(dataset, np.float32)


def load(
    model: "keras.Model", tensors: dict[Key, NDArray[np.float32]], source: str, exclude: Sequence[str] = ()
) -> int:
    """Assign tensors to the network, all of them or none, and return the number of those assigned.

    With tensors of a backbone only (no fpn, rpn or mrcnn layer) the heads are not changed, with a warning.

    Args:
        model: the network.
        tensors: by (layer, tensor), as returned by `read_file`.
        source: origin of the tensors, for messages.
        exclude: names of layers that are not changed.

    Raises:
        WeightsError: apart from `exclude`, file and network differ; the message lists every difference.
        ValueError: a name in `exclude` is neither a layer of the network nor of the file.
    """
    variables = matching_variables(model, tensors, source, exclude)
    assign(variables, tensors)
    return len(variables)


def assign(variables: "Mapping[Key, keras.Variable]", tensors: Mapping[Key, NDArray[np.float32]]) -> None:
    """Assign tensors of the same shapes to variables."""
    for key, variable in variables.items():
        variable.assign(tensors[key])


def matching_variables(
    model: "keras.Model", tensors: Mapping[Key, Any], source: str, exclude: Sequence[str] = ()
) -> "dict[Key, keras.Variable]":
    """Return the network's variables to be assigned from `tensors`, of which only names and shapes are used.

    Arguments and errors are those of `load`.
    """
    variables = network_tensors(model)
    known = {layer for layer, _ in [*variables, *tensors]} | {layer.name for layer in model.layers}
    if unknown := sorted(set(exclude) - known):
        raise ValueError(f"exclude names layers that neither the network nor the file has: {', '.join(unknown)}")
    excluded = set(exclude) | {leaf.name for group, leaf in named_layers(model) if group in exclude}
    tensors = {key: value for key, value in tensors.items() if key[0] not in excluded}
    variables = {key: variable for key, variable in variables.items() if key[0] not in excluded}
    if not any(HEADS.match(layer) for layer, _ in tensors):
        heads = sorted({layer for layer, _ in variables if HEADS.match(layer)})
        log.warning("%s holds a backbone only; these layers keep their weights: %s", source, ", ".join(heads))
        variables = {key: variable for key, variable in variables.items() if key[0] not in heads}
    if mismatch := differences(variables, tensors):
        raise WeightsError(f"{source} does not fit the network, nothing was loaded: {mismatch}")
    return variables


def differences(variables: "Mapping[Key, keras.Variable]", tensors: Mapping[Key, Any]) -> Mismatch:
    """Return every tensor that is missing, unexpected or of another shape."""
    common = [key for key in variables if key in tensors]
    return Mismatch(
        missing=["/".join(key) for key in variables if key not in tensors],
        unexpected=["/".join(key) for key in tensors if key not in variables],
        misshapen=[
            f"{'/'.join(key)} {tensors[key].shape} where {tuple(variables[key].shape)} is needed"
            for key in common
            if tensors[key].shape != tuple(variables[key].shape)
        ],
    )


def save(model: "keras.Model", path: str | os.PathLike[str]) -> None:
    """Write the network's weights in matterport's layout, atomically.

    Raises:
        OSError: ENOSPC, if the disk has not enough space; nothing is written.
    """
    size = 4 * sum(math.prod(weight.shape) for weight in _tensors_of(model))
    with atomic_write(Path(path), size) as temporary, h5py.File(temporary, "w") as file:
        _write(file, model)


def _write(file: h5py.File, model: "keras.Model") -> None:
    network_tensors(model)  # raises if weights would be lost
    groups: dict[str, list[tuple[str, NDArray[np.float32]]]] = {}
    for group, leaf in named_layers(model):
        entries = groups.setdefault(group, [])
        entries += [(f"{leaf.name}/{weight.name}:0", np.asarray(weight, np.float32)) for weight in _tensors_of(leaf)]
    file.attrs["layer_names"] = np.array([name.encode() for name in groups])
    file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", KERAS_VERSION
    for name, entries in groups.items():
        group = file.create_group(name)
        group.attrs["weight_names"] = np.array([entry.encode() for entry, _ in entries])
        for entry, values in entries:
            group.create_dataset(entry, data=values)
