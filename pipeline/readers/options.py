"""What the readers need to know of a recipe.

Filters that need the image (its size, its split) are not here: they belong to the stage that writes labels.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from pipeline.vocabulary import Wanted

if TYPE_CHECKING:
    from pipeline.recipe_sections import Labels


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
