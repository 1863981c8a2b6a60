"""The recipe, one YAML file with a section a stage: read, changed by key, checked; each fault is a sentence."""

import os
import reprlib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from pipeline.errors import RecipeError
from pipeline.recipe.faults import sentences
from pipeline.recipe.reading import read, read_file, with_absolute_paths, with_secrets
from pipeline.recipe.sections import (
    Checks,
    Dataset,
    Evaluation,
    Labels,
    Prediction,
    Release,
    Section,
    Source,
    Training,
)

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


class Recipe(Section):
    """Everything that decides what comes out of the chain."""

    name: str = Field(default="things", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Names the model: mask_rcnn_<name>.h5."""
    seed: int = Field(default=2019, ge=0, lt=2**32)
    """The one seed of everything random."""
    source: Source = Source()
    labels: Labels = Labels()
    dataset: Dataset = Dataset()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checks: Checks = Field(default={})
    """What becomes of the chain where a check does not pass: `{masks_not_boxes: block, splits_apart: warn}`. Those that
    aren't named block or warn as the Dagster UI says of each."""
    release: Release = Release()
    prediction: Prediction = Prediction()

    @model_validator(mode="after")
    def _have_images_to_judge_on(self) -> "Recipe":
        dataset = self.dataset
        no_test = dataset.split == "all_in_both" or (dataset.split == "hash" and not dataset.test_fraction)
        if self.evaluation.split == "test" and no_test:
            why = f"dataset.split {dataset.split} " + ("with test_fraction 0 " if dataset.split == "hash" else "")
            remedy = "set dataset.split to hash with a dataset.test_fraction, e.g. 0.1, or evaluation.split to val"
            raise ValueError(f"evaluation.split: {why}makes no test split: {remedy}")
        return self


def load(
    file: Path | str | None = None, changes: Mapping[str, Any] | None = None, content: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe file and apply `changes` (`{"training.learning_rate": "0.002"}`, text as YAML).

    Relative paths count from the recipe's file, those in `changes` from the working directory. Without a file:
    `$BDD_RECIPE`, else the sample's recipe. `content` is a recipe as it was read earlier, and is taken in place of what
    the file holds, with the secrets in the file's addresses. Raises RecipeError with a sentence for every fault.
    """
    path = Path(file or os.environ.get("BDD_RECIPE") or RECIPES / "sample.yaml").expanduser()
    given = with_secrets(deepcopy(dict(content)), path) if content else read_file(path)
    for key, value in (changes or {}).items():
        _set(given, key, value)
    return parse(with_absolute_paths(given, Path()), str(path))


def parse(content: Any, where: str = "recipe") -> Recipe:
    """Return the recipe that `content` (mappings, lists, scalars) describes; `where` names it in faults."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError([f"{where}: {fault}" for fault in sentences(error, Recipe)]) from None


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in `content`; text is read as YAML, so that "0.002" is a number."""
    *sections, last = key.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError([f"set {key}: {section} is a value, not a section"])
        content = inner
    try:
        content[last] = read(value) if isinstance(value, str) else value
    except ValueError as error:
        raise RecipeError([f"set {key}: {reprlib.repr(value)} is not YAML: {error}"]) from None
