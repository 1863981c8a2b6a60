"""Flags of labels, in the spellings that people and tools give them."""

from typing import Any

FLAGS = frozenset({"crowd", "ignored", "occluded", "truncated"})
ANSWERS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def answer(value: Any) -> bool | None:
    """Return what the answer to a yes-or-no attribute is, or None where it is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return ANSWERS.get(value.strip().casefold()) if isinstance(value, str) else None
