"""A recipe as YAML in which each key has its meaning above it."""

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from pipeline.recipe.faults import section_in
from pipeline.recipe.reading import Dumper
from pipeline.recipe.sections import Section
from pipeline.secrets import redacted

WIDTH = 120


def commented(section: Section, indent: str = "") -> Iterator[str]:
    """Yield the lines of a section: of each key its meaning as a comment, then its value."""
    for name, field in type(section).model_fields.items():
        value, inner = getattr(section, name), section_in(field)
        if not indent and inner:
            yield ""
        yield from _comment((inner.__doc__ if inner and not field.description else field.description) or "", indent)
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from commented(value, f"{indent}  ")
            continue
        if inner:  # a list of sections: what is in them is said once, above it
            for key, of_item in inner.model_fields.items():
                yield from _comment(f"{key}: {of_item.description}", indent, "  ")
        yield f"{indent}{name}: {_value(value)}"


def _comment(text: str, indent: str, further: str = "") -> list[str]:
    start = f"{indent}# {further}"
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=start, subsequent_indent=start)


def _value(value: Any) -> str:
    """Return a value as one line of YAML."""
    plain = [item.model_dump(mode="json") for item in value] if _holds_sections(value) else value
    text = yaml.dump(plain, Dumper=Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return redacted(text.removesuffix("\n").removesuffix("\n..."))


def _holds_sections(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Section) for item in value)
