"""Checks of `training.config`: settings of `mrcnn.config.Config` that have no key of their own in the recipe."""

import json
from functools import lru_cache
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from mrcnn.config import Config, NarrowConfig
from pipeline.recipe.spelling import did_you_mean

SET_BY = {
    "BACKBONE": "training.backbone",
    "BATCH_SIZE": "training.batch_size",
    "DETERMINISTIC": "training.deterministic",
    "GPU_COUNT": "training.strategy",
    "IMAGES_PER_GPU": "training.batch_size",
    "IMAGE_MAX_DIM": "training.max_dim",
    "IMAGE_META_SIZE": "labels.categories",
    "IMAGE_MIN_DIM": "training.min_dim",
    "IMAGE_RESIZE_MODE": "training.resize",
    "IMAGE_SHAPE": "training.max_dim",
    "LEARNING_RATE": "training.learning_rate",
    "LEARNING_RATE_SCHEDULE": "training.schedule",
    "LOADER_THREADS": "training.threads",
    "NAME": "name",
    "NUM_CLASSES": "labels.categories",
    "OPTIMIZER": "training.optimizer",
    "PRECISION": "training.precision",
    "SEED": "seed",
    "STEPS_PER_EPOCH": "training.steps_per_epoch",
    "WARMUP_STEPS": "training.warmup_steps",
    "WEIGHT_DECAY": "training.weight_decay",
}
"""Settings that follow from another key of the recipe, and that key."""


def faults(settings: dict[str, Any], backbone: str) -> list[str]:
    """Return a sentence for each setting that no network can have, beginning with the setting's name."""
    found = [fault for name, value in settings.items() if (fault := _fault(name, value))]
    if found:
        return found
    base = NarrowConfig if backbone == "narrow" else Config
    try:
        type("RecipeConfig", (base,), settings)()
    except ValueError as error:
        return [str(error).removeprefix("Config.")]
    return []


def _fault(name: str, value: Any) -> str:
    if name in SET_BY:
        return f"{name} is set by the recipe's own key {SET_BY[name]}"
    if not name.isupper() or not hasattr(Config, name):
        settings = [each for each in dir(Config) if each.isupper() and each not in SET_BY]
        return f"{name}: mrcnn.config.Config has no such setting{did_you_mean(name, settings)}"
    try:
        _type_of(name).validate_json(json.dumps(value, default=repr))
    except (TypeError, RecursionError) as error:
        return f"{name}: is of no type that a setting has ({error})"
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        return f"{name}{place}: {first['msg'][:1].lower()}{first['msg'][1:]} (found {first['input']!r})"
    unknown = sorted(value.keys() - getattr(Config, name).keys()) if isinstance(value, dict) else []
    return f"{name}: unknown key {', '.join(unknown)}" if unknown else ""


@lru_cache
def _type_of(name: str) -> TypeAdapter[Any]:
    """Return the type of a setting: as annotated, else that of its default (an array's: as many numbers).

    JSON's strict reading is what YAML means: a list is a tuple and 1 a float, but text is no number and 1 no boolean.
    """
    return TypeAdapter(_hint(name), config=ConfigDict(strict=True, allow_inf_nan=False))


def _hint(name: str) -> Any:
    hint, default = get_type_hints(Config).get(name), getattr(Config, name)
    if get_origin(hint) is ClassVar:
        return get_args(hint)[0]
    if hint is not None:
        return hint
    if isinstance(default, np.ndarray):
        return tuple[(float,) * default.size]  # type: ignore[misc]
    if isinstance(default, tuple):
        return tuple[type(default[0]), ...]  # type: ignore[misc]
    return type(default)
