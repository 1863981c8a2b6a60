"""Filters of the recipe: which images (`labels.where`) and which instances (occluded, truncated, small) it keeps.

What is left out here was asked for: it is counted by its reason, and never taken for a fault of the labels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.instances.reasons import OCCLUDED, TRUNCATED
from pipeline.recipe.sections import Labels, as_text

ANOTHER_VALUE = "labels.where: {attribute} is another"
NO_VALUE = "labels.where: {attribute} is not said"

VALUES_NAMED = 8
"""Values of an attribute that a message lists at most, the most frequent first."""


class InstanceFilter:
    """What a recipe does with occluded and truncated labels; those that don't say are neither."""

    def __init__(self, labels: Labels) -> None:
        wishes = {"occluded": labels.occluded, "truncated": labels.truncated}
        self._left_out = [flag for flag, wish in wishes.items() if wish == "leave_out"]
        self._ignored = [flag for flag, wish in wishes.items() if wish == "ignore"]

    def add_reasons(self, labels: pa.RecordBatch, reasons: NDArray[np.object_]) -> None:
        """Write into `reasons` ([N] str, empty where there is none) why labels are left out."""
        for flag in self._left_out:
            reasons[(reasons == "") & _said(labels[flag])] = {"occluded": OCCLUDED, "truncated": TRUNCATED}[flag]

    def marked(self, labels: pa.Table) -> pa.Table:
        """Return the labels, ignored where the recipe says so."""
        ignored = labels["ignored"]
        for flag in self._ignored:
            ignored = pc.or_(ignored, labels[flag].fill_null(False))
        return labels.set_column(labels.schema.get_field_index("ignored"), "ignored", ignored)


class ImageFilter:
    """Images whose attributes are as `labels.where` asks: names and values compared as text, case aside."""

    def __init__(self, where: Mapping[str, Iterable[str]]) -> None:
        self._where = {name: {_folded(value) for value in values} for name, values in where.items()}
        self._found: dict[str, Counter[str]] = {name: Counter() for name in self._where}
        self.left_out = 0
        """Images for which `reason` gave one."""

    def reason(self, attributes: str) -> str | None:
        """Return why an image with these attributes (JSON) is left out, or None where it is kept."""
        if not self._where:
            return None
        given = {_folded(name): value for name, value in msgspec.json.decode(attributes).items()}
        reason = None
        for name, wanted in self._where.items():
            values = _texts(given.get(_folded(name)))
            self._found[name].update(values)
            if reason is None and not wanted.intersection(values):
                reason = (ANOTHER_VALUE if values else NO_VALUE).format(attribute=name)
        self.left_out += reason is not None
        return reason

    def found(self) -> str:
        """Return which values the images had that were looked at, for messages."""
        return "; ".join(
            f"{name}: {', '.join(f'{value} ({count})' for value, count in values.most_common(VALUES_NAMED))}"
            if values
            else f"no image says its {name}"
            for name, values in self._found.items()
        )


def by_where(reason: str) -> bool:
    """Say whether an image with this reason was left out by `labels.where`."""
    return reason.startswith("labels.where: ")


def _said(flag: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(flag.fill_null(False).to_numpy(zero_copy_only=False), bool)


def _texts(value: Any) -> list[str]:
    """Return an attribute's values as folded texts: none for null and empty text, each one of a list."""
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):  # boxes ticked in VIA
        return [_folded(name) for name, ticked in value.items() if ticked is True]
    text = "" if value is None else _folded(as_text(value))
    return [text] if text else []


def _folded(text: str) -> str:
    return text.strip().casefold()
