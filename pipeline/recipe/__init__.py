"""The recipe, one YAML file with a section a stage: read, changed by key, checked; each fault is a sentence."""

import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from pipeline.errors import RecipeError
from pipeline.recipe.sections import Dataset, Evaluation, Labels, Section, Source, Training


def read(text: str) -> Any:
    """Return what YAML text holds; raises ValueError with one sentence, and the line where there is one."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        position = error.problem_mark or error.context_mark
        line = f" (line {position.line + 1})" if position else ""
        raise ValueError(f"{error.problem or error.context}{line}") from None
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that is given twice: YAML forbids it, and PyYAML takes the last value."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is given twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node


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
        content = read(path.read_text("utf-8"))
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
        content[last] = read(value) if isinstance(value, str) else value
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
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] != "value_error":  # Pydantic's own message
            what = f"{what[:1].lower()}{what[1:]}"
        sentences.append(f"{key}: {what}{_found(fault['input'], what)}")
    return sentences


def _found(value: Any, sentence: str) -> str:
    """Return what was found as the end of a sentence; nothing for a whole section, or where it is named already."""
    text = _SHORT.repr(value)
    return "" if isinstance(value, dict | Section) or text in sentence else f" (found {text})"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
