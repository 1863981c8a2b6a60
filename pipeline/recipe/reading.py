"""Reads a recipe's text, YAML or JSON, into mappings and lists; relative paths in it count from the recipe's file."""

import json
import os
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import RecipeError
from pipeline.recipe.sections import NAMED_WEIGHTS
from pipeline.recipe.source_entry import kind_and_place


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


class Dumper(yaml.SafeDumper):
    """Writes YAML that `read` reads as the same."""


for _side in (_Loader, Dumper):  # 1e-5 is a number in YAML 1.2, as in JSON, but a text to PyYAML
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def read_file(path: Path) -> dict[str, Any]:
    """Return the content of a recipe file, with absolute paths; raises RecipeError naming the file."""
    is_json = path.suffix == ".json"
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if is_json else read(text)
    except OSError as error:
        raise RecipeError([f"{path}: the recipe can't be read: {error.strerror}"]) from None
    except (RecursionError, ValueError) as error:
        raise RecipeError([f"{path}: the recipe is not {'JSON' if is_json else 'YAML'}: {error}"]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RecipeError([f"{path}: a recipe is a mapping of sections, this is a {type(content).__name__}"])
    return with_absolute_paths(content, path.parent)


def with_absolute_paths(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a recipe's content in which relative paths, which count from `folder`, are absolute."""
    content = dict(content)
    source, training, prediction = (content.get(section) for section in ("source", "training", "prediction"))
    if isinstance(source, dict):
        lists = {role: source[role] for role in ("images", "labels") if isinstance(source.get(role), list)}
        absolute = {role: [_absolute(entry, folder) for entry in entries] for role, entries in lists.items()}
        content["source"] = source | absolute
    if isinstance(prediction, dict) and isinstance(prediction.get("images"), list):
        content["prediction"] = prediction | {"images": [_absolute(entry, folder) for entry in prediction["images"]]}
    if isinstance(training, dict) and training.get("weights", "none") not in NAMED_WEIGHTS:
        content["training"] = training | {"weights": _absolute(training["weights"], folder)}
    return content


def _absolute(entry: Any, folder: Path) -> Any:
    """Return a path as an absolute one, `..` worked out, links kept; what is no path comes back as it is."""
    try:
        kind, place = kind_and_place(entry) if isinstance(entry, str) else ("", "")
    except ValueError:
        return entry
    return os.path.abspath(folder / os.path.expanduser(place)) if kind == "path" else entry
