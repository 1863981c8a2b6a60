"""One instance fitted to its image: judged by the recipe's filters, and clipped. Many at once are `block_fitting`'s."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.geometry import polygon
from pipeline.geometry.area import filled_area
from pipeline.geometry.polygon import Ring
from pipeline.instances.reasons import OTHER_SIZE, OUTSIDE, TOO_SMALL
from pipeline.instances.records import Instance
from pipeline.labels.filters import InstanceFilter

MASKS = ("rle", "bitmask")


class Fitting:
    """What a recipe keeps of instances; `least` is its `least_area` in square pixels."""

    def __init__(self, chosen: InstanceFilter, least: float) -> None:
        self._filter, self._least = chosen, least

    def __call__(self, instance: Instance, width: int, height: int) -> tuple[Instance | None, str]:
        """Return the part of the instance inside the image, or None and why nothing is left of it."""
        if reason := self._filter.reason(instance):
            return None, reason
        if instance.mask_size not in (None, (width, height)):
            return None, OTHER_SIZE
        instance = self._filter.marked(instance)
        box = instance.box
        inside = box.x >= 0 and box.y >= 0 and box.x + box.width <= width and box.y + box.height <= height
        rings = instance.rings if inside and instance.geometry == "box" else _clipped(instance, width, height)
        if not rings:
            return None, OUTSIDE
        if self._least and _fills_less(rings, instance.geometry in MASKS, self._least):
            return None, TOO_SMALL
        if rings is instance.rings:
            return instance, ""
        return replace(instance, rings=rings, box=polygon.bounds(rings)), ""


def _fills_less(rings: Sequence[Ring], are_outlines: bool, least: float) -> bool:
    """Say whether rings fill less than `least` square pixels; outlines of masks don't cross themselves."""
    windings = [1 if are_outlines else max((len(ring) - 1) // 2, 1) for ring in rings]
    if max(polygon.area(ring) / most for ring, most in zip(rings, windings, strict=True)) >= least:
        return False
    around = [ring.max(axis=0) - ring.min(axis=0) for ring in rings]
    return float(sum(width * height for width, height in around)) < least or filled_area(rings) < least


def _clipped(instance: Instance, width: int, height: int) -> tuple[Ring, ...]:
    """Return the rings inside the image, the very same tuple when all of them lie inside."""
    for ring in instance.rings:
        if ring.min() < 0 or ring[:, 0].max() > width or ring[:, 1].max() > height:
            return polygon.clip(instance.rings, width, height)
    return instance.rings
