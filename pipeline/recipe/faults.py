"""Sentences about the faults of a recipe: each names the key, what was found, and what is allowed or meant."""

import reprlib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pipeline.recipe.sections import Section
from pipeline.recipe.spelling import did_you_mean


def sentences(error: ValidationError, recipe: type[Section]) -> list[str]:
    """Return one sentence a fault that pydantic found in the content of a `recipe`."""
    return [_sentence(fault, recipe) for fault in error.errors()]


def keys(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the dotted name and the field of each key, a section before its keys (those of a list's items: once)."""
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}", field
        if inner := section_in(field):
            yield from keys(inner, f"{prefix}{name}.")


def section_in(field: FieldInfo) -> type[Section] | None:
    """Return the section that a key is, or that each item of its list is; None for any other value."""
    kind = next(iter(get_args(field.annotation)), field.annotation)
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _sentence(fault: Any, recipe: type[Section]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        named = ".".join(part for part in fault["loc"] if isinstance(part, str))
        return f"{key}: unknown key{_meant(named, recipe)}"
    what = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{key}: {what}{_found(fault['input'], what)}" if key else what
    what = f"{what[:1].lower()}{what[1:]}"  # Pydantic's own message
    return f"{key or 'recipe'}: {what}{_found(fault['input'], what)}"


def _meant(key: str, recipe: type[Section]) -> str:
    """Return which key was meant: one spelled like it in its section, else one of its name elsewhere."""
    section, _, name = key.rpartition(".")
    known = [each for each, _ in keys(recipe)]
    in_section = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == section}
    if near := did_you_mean(name, in_section):
        return near
    elsewhere = [each for each in known if each.rpartition(".")[2] == name]
    return f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else ""


def _found(value: Any, sentence: str) -> str:
    """Return what was found as the end of a sentence; nothing for a whole section, or where it is named already."""
    text = _SHORT.repr(value)
    return "" if isinstance(value, dict | Section) or text in sentence else f" (found {text})"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
