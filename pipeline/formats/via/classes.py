"""Options that VIA projects declare for attributes: an id, which is what regions hold, and the text that people see."""

import html
from collections.abc import Mapping
from typing import Any

from pipeline.formats.options import FLAGS, answer

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
    return {text_of_option(option, options): text for option, text in options.items()}


def word_options(declared: Options) -> dict[str, dict[str, str]]:
    """Return the options whose ids are words, by attribute: mere numbers are spelled out where they are read."""
    words = {
        name: {key: text for key, text in options.items() if not key.isdigit()} for name, options in declared.items()
    }
    return {name: options for name, options in words.items() if options}


def text_of(value: Any) -> str:
    """Return a text as it is and a number as text (`12` also for 12.0); empty where the value is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def text_of_option(option: str, options: Mapping[str, str]) -> str:
    """Return what an option id stands for where it is a mere number; ids that are words say something themselves."""
    return options.get(option, option) if option.isdigit() else option


def spelled_out(attributes: Mapping[str, Any], declared: Options) -> Mapping[str, Any]:
    """Return attributes with `text_of_option` in the place of option ids; an answer that 1 or 0 gives stays one."""
    if not declared:
        return attributes
    return {key: _spelled(key, value, declared[key]) if key in declared else value for key, value in attributes.items()}


def _spelled(key: str, value: Any, options: Mapping[str, str]) -> Any:
    if isinstance(value, dict):  # boxes to tick
        ticked: dict[str, Any] = {}
        for option, said in value.items():
            text = text_of_option(option, options)
            ticked[text] = ticked.get(text) or said
        return ticked
    text = text_of_option(value, options) if isinstance(value, str) else value
    return value if key.casefold() in FLAGS and answer(text) is None else text
