"""`model.json`: the network's settings and classes beside its weights, and how a trained model is opened again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ArtifactError
from pipeline.files.atomic import write_json
from pipeline.recipe import Recipe
from pipeline.recipe.categories import Wanted

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.model import MaskRCNN

FILE = "model.json"

DERIVED = ("BATCH_SIZE", "IMAGE_SHAPE", "IMAGE_META_SIZE")
"""Attributes that Config works out from the others."""
OF_THE_MACHINE = ("LOADER_THREADS",)
"""Settings that change no result: the model is the same without them."""


@dataclass(frozen=True)
class Description:
    """What model.json says."""

    name: str
    class_names: tuple[str, ...]
    """Background first."""
    backbone: str
    config: dict[str, Any]


def weights_file(name: str) -> str:
    """Return the name of the weights file of a model."""
    return f"mask_rcnn_{name}.h5"


def config_for_training(recipe: Recipe, class_names: tuple[str, ...], devices: int, steps_per_epoch: int) -> "Config":
    """Return the network's settings that the recipe asks for, with a batch that `devices` share equally.

    Raises ArtifactError naming an impossible setting.
    """
    from pipeline.recipe.network import SET_BY

    training = recipe.training
    keys = {name: key.removeprefix("training.") for name, key in SET_BY.items() if key.startswith("training.")}
    values = {
        **{name: getattr(training, key) for name, key in keys.items() if name not in DERIVED},
        "NAME": recipe.name,
        "NUM_CLASSES": 1 + len(class_names),
        "GPU_COUNT": devices,
        "IMAGES_PER_GPU": training.batch_size // devices,
        "STEPS_PER_EPOCH": steps_per_epoch,
        "SEED": recipe.seed,
    }
    return _config(training.backbone, values | training.config)


def _config(backbone: str, values: dict[str, Any]) -> "Config":
    from mrcnn.config import Config, NarrowConfig

    base = NarrowConfig if backbone == "narrow" else Config
    try:
        attributes = {name: _as_the_default(getattr(base, name), value) for name, value in values.items()}
        return type("RecipeConfig", (base,), attributes)()
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(f"training: {error}") from None


def _as_the_default(default: Any, value: Any) -> Any:
    """Return `value`, a list from YAML or JSON made an array or a tuple where the setting's default is one."""
    if isinstance(value, list):
        return np.array(value) if isinstance(default, np.ndarray) else tuple(value)
    return value


def write(folder: Path, config: "Config", class_names: tuple[str, ...]) -> None:
    """Write model.json for a trained model."""
    described = Description(str(config.NAME), ("BG", *class_names), config.BACKBONE, settings(config))
    write_json(folder / FILE, asdict(described))


def settings(config: "Config") -> dict[str, Any]:
    """Return the settings that decide what a model finds, as JSON has them."""
    left_out = (*DERIVED, *OF_THE_MACHINE)
    values = {name: value for name, value in config.to_dict().items() if name not in left_out}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def read(folder: Path) -> Description:
    """Return what model.json says; raises ArtifactError where the folder holds no trained model."""
    try:
        content = json.loads((folder / FILE).read_text("utf-8"))
        return Description(**{**content, "class_names": tuple(content["class_names"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / FILE}: not a model that this pipeline trained ({error})") from None


def of_recipe(recipe: Recipe) -> Description:
    """Return what model.json would say of the recipe's network, with all categories of the recipe as its classes."""
    names = Wanted(recipe.labels.categories).categories
    config = config_for_training(recipe, names, devices=1, steps_per_epoch=1)
    return Description(recipe.name, ("BG", *names), config.BACKBONE, settings(config))


def load_for_detection(folder: Path, **changes: Any) -> "MaskRCNN":
    """Return the trained model in a folder, as `opened` does; raises ArtifactError where it holds none."""
    described = read(folder)
    return opened(described, folder / weights_file(described.name), **changes)


def opened(described: Description, weights: Path, **changes: Any) -> "MaskRCNN":
    """Return a model, ready for `detect`; `changes` replace settings, e.g. `DETECTION_MIN_CONFIDENCE`.

    Raises ArtifactError where the weights are missing, or are those of another network.
    """
    from mrcnn.model import MaskRCNN

    if not weights.exists():
        raise ArtifactError(f"{weights}: the model's weights are missing")
    config = _config(described.backbone, described.config | {"GPU_COUNT": 1, "IMAGES_PER_GPU": 1} | changes)
    model = MaskRCNN(mode="inference", config=config, model_dir=str(weights.parent))
    try:
        model.load_weights(str(weights), by_name=True)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{weights}: can't be loaded: {error}") from None
    return model
