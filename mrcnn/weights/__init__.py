"""Weight files in the original's h5 layout: read and written by layer and tensor name, completely or not at all.

No pickled code is ever read: a file gives names, shapes and numbers. What to load from where is the façade's business.
"""

import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from mrcnn.weights.whole_file import replaced_file

log = logging.getLogger(__name__)

LARGEST = 2**30
"""Bytes of all tensors that are read without a network that they fit; those of the original's ResNet-101 have 256
million."""

LARGEST_CHUNK = 2**24
"""Bytes of a piece of a tensor that is stored in pieces, where the tensor itself is no larger."""

NO_LAYERS = ("optimizer_weights", "anchors")
"""Groups of a file that hold no weights: ports of the original to TensorFlow 2 keep the anchors as a variable."""

HEADS = re.compile(r"fpn_|rpn_|mrcnn_")
KERAS_VERSION = b"2.2.4"

Key = tuple[str, str]
"""(layer, tensor), e.g. ("conv1", "kernel")."""


class WeightsError(ValueError):
    """A weight file does not fit the network; the message lists every tensor that does not."""


@dataclass(frozen=True)
class Mismatch:
    """All differences between a file and a network."""

    missing: list[str] = field(default_factory=list)
    """Tensors that the network has and the file has not."""
    unexpected: list[str] = field(default_factory=list)
    """Tensors that the file has and the network has not."""
    misshapen: list[str] = field(default_factory=list)
    """Tensors of different shapes, with both."""

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        """Every difference, kind by kind."""
        kinds = {
            "missing in the file": self.missing,
            "not in the network": self.unexpected,
            "of another shape": self.misshapen,
        }
        return "; ".join(f"{len(names)} {kind}: {', '.join(names)}" for kind, names in kinds.items() if names)


def named_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Layers that hold weights, in order, each with the name of the file's group that it stands in.

    A layer of a nested model (`rpn_model`) stands in the group of that model.
    """
    for layer in model.layers:
        for leaf in _leaves(layer):
            yield layer.name, leaf


def _leaves(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    inner = [part for part in layer._flatten_layers(include_self=False, recursive=False) if part.weights]
    if not inner and _tensors_of(layer):
        yield layer
    for part in inner:
        yield from _leaves(part)


def _tensors_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The layer's weights, without what counts, such as steps."""
    return [weight for weight in layer.weights if keras.backend.is_float_dtype(weight.dtype)]


def network_tensors(model: keras.Model) -> dict[Key, keras.Variable]:
    """The network's variables by (layer, tensor).

    Raises:
        WeightsError: a weight has no place of its own in the layout, so that it would be lost; the message lists all.
    """
    found = {(leaf.name, weight.name): weight for _, leaf in named_layers(model) for weight in _tensors_of(leaf)}
    placed = {id(weight) for weight in found.values()}
    lost = [weight.path for weight in _tensors_of(model) if id(weight) not in placed]
    if lost:
        raise WeightsError(
            f"these weights have no layer and name of their own, by which a file could hold them: {', '.join(lost)}"
        )
    return found


def read_file(path: str | os.PathLike[str]) -> dict[Key, NDArray[np.float32]]:
    """All tensors of a weight file by (layer, tensor); `model_weights` as root is looked through.

    Raises:
        WeightsError: the file is no HDF5 file, is damaged, holds no weights in this layout, a weight that can't be one,
            or claims to hold more than LARGEST bytes of them.
    """
    with opened(path) as stored:
        size = 0
        for dataset in stored.values():
            size += 4 * dataset.size
            if size > LARGEST:
                raise WeightsError(f"{path}: {dataset.name} claims to be {dataset.shape}, too large for a weight")
        return read(stored)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[dict[Key, h5py.Dataset]]:
    """The tensors of a weight file by (layer, tensor), of which names and shapes are known and nothing is read yet.

    Raises:
        WeightsError: as `read_file`, but for the size.
    """
    with _faults_named(path):
        file = h5py.File(path, "r")
    with file:
        with _faults_named(path):
            root = file.get("model_weights", file)
            stored = dict(_tensors(root)) if isinstance(root, h5py.Group) else {}
        if not stored:
            raise WeightsError(f"{path} holds no layer weights in the layout of Keras 2 h5 files")
        yield stored


def read(stored: Mapping[Key, h5py.Dataset]) -> dict[Key, NDArray[np.float32]]:
    """The numbers of tensors of an `opened` file.

    Raises:
        WeightsError: they are damaged, or no numbers.
    """
    return {key: _values(dataset) for key, dataset in stored.items()}


@contextmanager
def _faults_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Replace what h5py raises at a file's bytes, which may be anything, by a WeightsError that names the file."""
    try:
        yield
    except WeightsError:
        raise
    except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError, MemoryError) as error:
        if not Path(path).exists():
            raise
        raise WeightsError(f"{path} is not a readable HDF5 weight file: {error}") from error


def _tensors(root: h5py.Group) -> Iterator[tuple[Key, h5py.Dataset]]:
    # links out of the file are not followed by visititems
    found: list[tuple[str, h5py.Dataset]] = []
    root.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    for name, dataset in found:
        group, *path = name.split("/")
        tensor = path.pop().split(":")[0] if path else ""
        # Keras 3's own files number their tensors, and say nothing of names
        if tensor and not tensor.isdigit() and group not in NO_LAYERS:
            if dataset.shape is None:
                raise WeightsError(f"{root.file.filename}: {dataset.name} holds nothing")
            yield (_layer(group, path[-1] if path else group), tensor), dataset


def _layer(group: str, inner: str) -> str:
    """The layer that a tensor is of, by its group and the name inside of it.

    Keras 2 put a number behind names that it had met before; in `rpn_model` and other nested models each layer has its
    own name.
    """
    plain = re.sub(r"_\d+$", "", inner)
    if group == "rpn_model":
        return plain
    return group if plain in (group, re.sub(r"_\d+$", "", group)) else inner


def _values(dataset: h5py.Dataset) -> NDArray[np.float32]:
    """Return the numbers [...] of a dataset, read from this file alone, however the file was made.

    Raises:
        WeightsError: it holds no numbers, is damaged, is stored in pieces much larger than itself, or in other files.
    """
    path = dataset.file.filename
    with _faults_named(path):
        if dataset.dtype.kind not in "fiu":
            raise WeightsError(f"{path}: {dataset.name} holds {dataset.dtype}, which are no numbers")
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        if chunk > max(dataset.nbytes, LARGEST_CHUNK):
            raise WeightsError(f"{path}: {dataset.name} claims to be stored in pieces of {chunk:,} bytes")
        if dataset.is_virtual or dataset.external:
            raise WeightsError(f"{path}: {dataset.name} lies in other files, which aren't read")
        return np.asarray(dataset, np.float32)


def load(model: keras.Model, tensors: dict[Key, NDArray[np.float32]], source: str, exclude: Sequence[str] = ()) -> int:
    """Put tensors into the network, all of them or none; returns how many were set.

    A file of a backbone alone (no fpn, rpn or mrcnn layer) may leave the heads as they are, which is a warning.

    Args:
        model: the network.
        tensors: by (layer, tensor), as `read_file` gives them.
        source: what the tensors come from, for messages.
        exclude: names of layers that are left as they are.

    Raises:
        WeightsError: the rest of the file and the rest of the network differ; every difference is listed.
        ValueError: a name in `exclude` is no layer of the network or the file.
    """
    wanted = fitting(model, tensors, source, exclude)
    assign(wanted, tensors)
    return len(wanted)


def assign(wanted: Mapping[Key, keras.Variable], tensors: Mapping[Key, NDArray[np.float32]]) -> None:
    """Put tensors of the right shapes into variables."""
    for key, variable in wanted.items():
        variable.assign(tensors[key])


def fitting(
    model: keras.Model, tensors: Mapping[Key, Any], source: str, exclude: Sequence[str] = ()
) -> dict[Key, keras.Variable]:
    """The network's variables that are to be set from `tensors`, of which only names and shapes are looked at.

    Arguments and errors are those of `load`.
    """
    variables = network_tensors(model)
    check_excluded(exclude, {layer for layer, _ in variables} | {layer for layer, _ in tensors}, model)
    left_out = set(exclude) | {leaf.name for group, leaf in named_layers(model) if group in exclude}
    tensors = {key: value for key, value in tensors.items() if key[0] not in left_out}
    wanted = {key: variable for key, variable in variables.items() if key[0] not in left_out}
    if not any(HEADS.match(layer) for layer, _ in tensors):
        heads = sorted({layer for layer, _ in wanted if HEADS.match(layer)})
        log.warning("%s holds a backbone only; these layers keep their weights: %s", source, ", ".join(heads))
        wanted = {key: variable for key, variable in wanted.items() if key[0] not in heads}
    faults = differences(wanted, tensors)
    if faults:
        raise WeightsError(f"{source} does not fit the network, nothing was loaded: {faults}")
    return wanted


def check_excluded(exclude: Sequence[str], known: Iterable[str], model: keras.Model) -> None:
    """Refuse names of `exclude` that are neither among `known` layers nor layers of the model.

    Raises:
        ValueError: with every such name.
    """
    unknown = sorted(set(exclude) - set(known) - {layer.name for layer in model.layers})
    if unknown:
        raise ValueError(f"exclude names layers that neither the network nor the file has: {', '.join(unknown)}")


def differences(variables: Mapping[Key, keras.Variable], tensors: Mapping[Key, Any]) -> Mismatch:
    """Every tensor that is missing, unexpected or of another shape."""
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


def save(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Write the network's weights in the original's layout; the file appears whole or not at all.

    Raises:
        OSError: ENOSPC, where the disk has no room for it; nothing is written then.
    """
    size = 4 * sum(math.prod(weight.shape) for weight in _tensors_of(model))
    with replaced_file(Path(path), size) as beside, h5py.File(beside, "w") as file:
        _write(file, model)


def _write(file: h5py.File, model: keras.Model) -> None:
    network_tensors(model)  # refuses one whose weights would be lost
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
