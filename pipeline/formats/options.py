"""What readers need to know of a recipe, and yes-or-no answers in the spellings that people give them."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class ReadOptions:
    """How label files are read."""

    curve_tolerance: float = 0.5
    """Pixels by which a flattened curve may be off."""
    coco: bool = False
    """Whether a COCO file is read; else it is refused."""
