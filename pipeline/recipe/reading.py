"""Reads a recipe's text, YAML or JSON, into mappings and lists; relative paths in it count from the recipe's file."""

import errno
import json
import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import RecipeError
from pipeline.recipe.sections import NAMED_WEIGHTS
from pipeline.recipe.source_entry import kind_and_place
from pipeline.secrets import HIDDEN, redacted

LONGEST = 1 << 20
"""Bytes of a recipe's file."""


MOST_VALUES = 50_000
"""Keys and values of a recipe, those that aliases stand for included."""


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
    def get_single_node(self) -> yaml.Node | None:
        """Refuse a few lines of aliases that stand for millions of values."""
        node = super().get_single_node()
        if node and _values(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"with its aliases (*name) written out, it has over {MOST_VALUES:,} values")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that is given twice: YAML forbids it, and PyYAML takes the last value."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is given twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """Return how many values a node has, each alias written out; that of a node which holds itself has no end."""
    if id(node) not in known:
        known[id(node)] = math.inf
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        inner = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in pairs for each in pair]
        known[id(node)] = 1 + sum(_values(each, known) for each in inner)
    return known[id(node)]


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
        text = _text(path)
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


def _text(path: Path) -> str:
    """Return the text of a file; raises OSError for what is none (a pipe or device need not end), or is too long."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    with path.open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise OSError(errno.EFBIG, f"it has over {LONGEST:,} bytes")
    return content.decode("utf-8")


def with_absolute_paths(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a recipe's content in which relative paths, which count from `folder`, are absolute."""
    content = _with_entries(content, lambda entry: _absolute(entry, folder))
    training = content.get("training")
    if isinstance(training, dict) and training.get("weights", "none") not in NAMED_WEIGHTS:
        content["training"] = training | {"weights": _absolute(training["weights"], folder)}
    return content


def with_secrets(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return a recipe's content in which addresses without their secrets have those of the recipe's file now."""
    hidden: set[str] = set()
    _with_entries(content, lambda entry: hidden.add(entry) if HIDDEN in str(entry) else None)
    if not hidden or not file.is_file():
        return content
    whole: dict[str, str] = {}
    _with_entries(read_file(file), lambda entry: whole.setdefault(redacted(str(entry)), entry))
    return _with_entries(content, lambda entry: whole.get(entry, entry) if isinstance(entry, str) else entry)


def _with_entries(content: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a recipe's content with `change` applied to each entry that names a source."""
    content = dict(content)
    for section, roles in (("source", ("images", "labels")), ("prediction", ("images",))):
        if isinstance(given := content.get(section), dict):
            lists = {role: given[role] for role in roles if isinstance(given.get(role), list)}
            content[section] = given | {role: [change(each) for each in entries] for role, entries in lists.items()}
    return content


def _absolute(entry: Any, folder: Path) -> Any:
    """Return a path as an absolute one, `..` worked out, links kept; what is no path comes back as it is."""
    try:
        kind, place = kind_and_place(entry) if isinstance(entry, str) else ("", "")
    except ValueError:
        return entry
    return os.path.abspath(folder / os.path.expanduser(place)) if kind == "path" else entry
