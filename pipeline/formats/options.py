"""What readers need to know of a recipe, and yes-or-no answers in the spellings that people give them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from pipeline.recipe.categories import Wanted

if TYPE_CHECKING:
    from pipeline.recipe.sections import Labels


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
    """Which labels are read, and how boxes, curves and VIA classes are understood."""

    wanted: Wanted = field(default_factory=lambda: Wanted([]))
    boxes: Literal["rectangles", "leave_out"] = "rectangles"
    curve_tolerance: float = 0.5
    """Pixels."""
    class_attribute: str | None = None
    default_class: str | None = None
    coco: bool = False
    """Whether a COCO file is read; else it is refused."""

    @classmethod
    def from_recipe(cls, labels: "Labels") -> Self:
        """Return the options that the `labels` section of a recipe asks for."""
        return cls(
            wanted=Wanted(labels.categories),
            boxes=labels.boxes,
            curve_tolerance=labels.curve_tolerance,
            class_attribute=labels.class_attribute,
            default_class=labels.default_class,
            coco=labels.coco,
        )
