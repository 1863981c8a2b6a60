"""Options that VIA projects declare for attributes: an id, which is what regions hold, and the text that people see."""

import html
from collections.abc import Mapping
from typing import Any

Options = Mapping[str, Mapping[str, str]]
"""By attribute: what each option id stands for."""


def declared_options(region_attributes: Any) -> dict[str, Mapping[str, str]]:
    """Return what a project's options of region attributes stand for; without a description, for themselves."""
    found: dict[str, Mapping[str, str]] = {}
    for name, attribute in region_attributes.items() if isinstance(region_attributes, dict) else ():
        options = attribute.get("options") if isinstance(attribute, dict) else None
        if isinstance(options, dict):
            texts = {key: text for key, text in options.items() if isinstance(text, str)}
            found[name] = {key: html.unescape(text).strip() or key for key, text in texts.items()}
    return found


def texts_to_choose(options: Mapping[str, str]) -> dict[str, str]:
    """Return options as `spelled_out` has them: those whose ids are mere numbers by their texts."""
    return {_text(option, options): text for option, text in options.items()}


def spelled_out(attributes: Mapping[str, Any], declared: Options) -> Mapping[str, Any]:
    """Return attributes in which option ids that are mere numbers are replaced by what they stand for.

    Ids that are words say something themselves, and stay.
    """
    if not declared:
        return attributes
    return {key: _text(value, declared[key]) if key in declared else value for key, value in attributes.items()}


def _text(value: Any, options: Mapping[str, str]) -> Any:
    if isinstance(value, dict):  # boxes to tick
        return {_text(option, options): ticked for option, ticked in value.items()}
    return options.get(value, value) if isinstance(value, str) and value.isdigit() else value
