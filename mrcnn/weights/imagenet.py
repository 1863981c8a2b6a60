"""ImageNet weights of keras.applications' ResNets: download, and conversion to the backbone's layer names."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from mrcnn.ops.layers import EPSILON
from mrcnn.weights import Key, WeightsError

ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
FILES = {name: f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5" for name in ("resnet50", "resnet101")}
FOLDER = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
"""Keras' own cache of weights."""

MD5 = {"resnet50": "4d473c1dd8becc155b73f8504c6f6626", "resnet101": "88cf7a10940856eca736dc7b7e228a21"}
"""Checksums of FILES, from keras.applications.resnet."""

APPLICATIONS_EPSILON = 1.001e-5
Tensor = TypeVar("Tensor")
_BLOCK = re.compile(r"conv(\d)_block(\d+)_(\d)_(conv|bn)")
_BRANCHES = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}


def is_applications_file(tensors: Mapping[Key, Any]) -> bool:
    """Return whether the tensors have keras.applications' names."""
    return ("conv1_conv", "kernel") in tensors


def renamed(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Return keras.applications' tensors (arrays or datasets) with the backbone's layer names.

    Raises:
        WeightsError: a layer is not one of keras.applications' ResNets.
    """
    return {(layer_name(layer), tensor): value for (layer, tensor), value in tensors.items() if layer != "probs"}


def backbone_tensors(tensors: Mapping[Key, NDArray[np.float32]]) -> dict[Key, NDArray[np.float32]]:
    """Return `renamed` tensors changed so that the network computes the same as keras.applications'.

    The input channels of the first kernel change from BGR to RGB, and gamma compensates for the different epsilon of
    batch normalisation.
    """
    changed = dict(tensors)
    if ("conv1", "kernel") in changed:
        changed["conv1", "kernel"] = changed["conv1", "kernel"][:, :, ::-1]
    for layer, tensor in tensors:
        if tensor == "gamma":
            variance = tensors[layer, "moving_variance"]
            changed[layer, tensor] = tensors[layer, tensor] * np.sqrt(
                (variance + EPSILON) / (variance + APPLICATIONS_EPSILON)
            )
    return changed


def layer_name(name: str) -> str:
    """Return the backbone's name for a layer of keras.applications' ResNets.

    Raises:
        WeightsError: there is no such layer.
    """
    if name in ("conv1_conv", "conv1_bn"):
        return {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}[name]
    match = _BLOCK.fullmatch(name)
    if match is None or match[3] not in _BRANCHES:
        raise WeightsError(f"{name} is no layer of keras.applications' ResNet-50 or ResNet-101")
    stage, block, branch, kind = match.groups()
    prefix = "res" if kind == "conv" else "bn"
    return f"{prefix}{stage}{chr(ord('a') + int(block) - 1)}_branch{_BRANCHES[branch]}"


def download(backbone: str) -> Path:
    """Return the path of the backbone's ImageNet weights without classifier, downloaded once to Keras' own cache.

    Raises:
        ValueError: keras.applications has no weights for this backbone.
        OSError: the file is not in the cache and can't be downloaded.
    """
    if backbone not in FILES:
        raise ValueError(f"there are ImageNet weights for {', '.join(FILES)}, not for {backbone!r}")
    path = FOLDER / FILES[backbone]
    try:
        return Path(
            keras.utils.get_file(path.name, ADDRESS + path.name, file_hash=MD5[backbone], cache_dir=FOLDER.parent)
        )
    except Exception as error:  # get_file raises Exception itself for every network error
        raise OSError(f"{ADDRESS}{path.name} could not be fetched ({error}); put that file at {path}") from error
