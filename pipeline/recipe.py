"""The recipe: one YAML file that says what to read, what to keep, how to train and how to judge.

`python -m pipeline.recipe check|show|schema FILE` prints its faults, its full content, or its JSON schema.
"""

import argparse
import json
import os
import reprlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from pipeline import recipe_yaml
from pipeline.errors import RecipeError
from pipeline.recipe_sections import Dataset, Evaluation, Labels, Section, Source, Training

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


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


def load(file: Path | str | None = None, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file and apply `changes` (`{"training.learning_rate": "0.002"}`, values as YAML).

    Without a file: `$BDD_RECIPE`, else the sample's recipe. Raises RecipeError with a sentence for every fault.
    """
    path = Path(file or os.environ.get("BDD_RECIPE") or RECIPES / "sample.yaml").expanduser()
    content = _read(path)
    for key, value in (changes or {}).items():
        _set(content, key, value)
    return parse(content, str(path))


def parse(content: Any, where: str = "recipe") -> Recipe:
    """Return the recipe that `content` (mappings, lists, scalars) describes; `where` names it in faults."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError([f"{where}: {fault}" for fault in _sentences(error)]) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = recipe_yaml.read(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeError([f"{path}: the recipe can't be read: {error.strerror}"]) from None
    except ValueError as error:
        raise RecipeError([f"{path}: the recipe is not YAML: {error}"]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RecipeError([f"{path}: a recipe is a mapping of sections, this is a {type(content).__name__}"])
    return content


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in `content`; text is read as YAML, so that "0.002" is a number."""
    *sections, last = key.split(".")
    for section in sections:
        inner = content.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError([f"set {key}: {section} is a value, not a section"])
        content = inner
    try:
        content[last] = recipe_yaml.read(value) if isinstance(value, str) else value
    except ValueError as error:
        raise RecipeError([f"set {key}: {reprlib.repr(value)} is not YAML: {error}"]) from None


def _sentences(error: ValidationError) -> list[str]:
    """Return one sentence a fault, naming the key, what was found and what is allowed."""
    sentences = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "recipe"
        if fault["type"] == "extra_forbidden":
            sentences.append(f"{key}: unknown key")
            continue
        ours = fault["msg"].removeprefix("Value error, ")
        what = ours if fault["type"] == "value_error" else f"{ours[:1].lower()}{ours[1:]}"
        sentences.append(f"{key}: {what}{_found(fault['input'], what)}")
    return sentences


def _found(value: Any, said: str) -> str:
    """Return what was found as the end of a sentence; nothing for a whole section, or where it was said already."""
    text = _SHORT.repr(value)
    return "" if isinstance(value, dict | Section) or text in said else f" (found {text})"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Check, show or describe a recipe; return 0, or 2 where it has faults."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.recipe", description="Look at a recipe.")
    parser.add_argument("action", choices=("check", "show", "schema"), help="its faults, all its keys, or its schema")
    parser.add_argument("file", type=Path, nargs="?", help="recipe file (default: $BDD_RECIPE, else the sample's)")
    arguments = parser.parse_args(argv)
    if arguments.action == "schema":
        print(json.dumps(Recipe.model_json_schema(), indent=2))
        return 0
    try:
        recipe = load(arguments.file)
    except RecipeError as error:
        print("\n".join(error.faults))
        return 2
    if arguments.action == "show":
        print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
