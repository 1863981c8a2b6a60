"""Filters of the recipe: which images (`labels.where`) and which labels (occluded, truncated) it leaves out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.instances.reasons import NO_VALUE, OCCLUDED, OTHER_VALUE, TRUNCATED
from pipeline.recipe.sections import Labels, as_text

VALUES_NAMED = 8
"""Values of an attribute that a message lists at most, the most frequent first."""


def add_flag_reasons(labels: pa.RecordBatch, recipe: Labels, reasons: NDArray[np.object_]) -> None:
    """Write into `reasons` ([N] str, empty: none yet) which labels the recipe leaves out as occluded or truncated."""
    for flag, wish, reason in (("occluded", recipe.occluded, OCCLUDED), ("truncated", recipe.truncated, TRUNCATED)):
        if wish == "leave_out":
            reasons[(reasons == "") & labels[flag].fill_null(False).to_numpy(zero_copy_only=False)] = reason


def with_ignored(labels: pa.Table, recipe: Labels) -> pa.Table:
    """Return the labels, occluded and truncated ones ignored if the recipe says so."""
    ignored = labels["ignored"]
    for flag, wish in (("occluded", recipe.occluded), ("truncated", recipe.truncated)):
        if wish == "ignore":
            ignored = pc.or_(ignored, labels[flag].fill_null(False))
    return labels.set_column(labels.schema.get_field_index("ignored"), "ignored", ignored)


class ImageFilter:
    """Keeps images with the attributes of `labels.where`; names and values are compared as text, ignoring case."""

    def __init__(self, where: Mapping[str, Iterable[str]]) -> None:
        self._where = {name: {_folded(value) for value in values} for name, values in where.items()}
        self._found: dict[str, Counter[str]] = {name: Counter() for name in self._where}
        self.left_out = 0
        """Images for which `reason` returned one."""

    def reason(self, attributes: str) -> str | None:
        """Return why an image with these attributes (JSON) is left out, or None if it is kept."""
        if not self._where:
            return None
        given = {_folded(name): value for name, value in msgspec.json.decode(attributes).items()}
        reason = None
        for name, wanted in self._where.items():
            values = _texts(given.get(_folded(name)))
            self._found[name].update(values)
            if reason is None and not wanted.intersection(values):
                reason = (OTHER_VALUE if values else NO_VALUE).format(attribute=name)
        self.left_out += reason is not None
        return reason

    def found(self) -> str:
        """Return the values of the images so far, for messages."""
        return "; ".join(
            f"{name}: {', '.join(f'{value} ({count})' for value, count in values.most_common(VALUES_NAMED))}"
            if values
            else f"no image has the attribute {name}"
            for name, values in self._found.items()
        )


def _texts(value: Any) -> list[str]:
    """Return the values of an attribute as folded texts: none for null and empty text, several for a list."""
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):  # check boxes in VIA
        return [_folded(name) for name, is_checked in value.items() if is_checked is True]
    text = "" if value is None else _folded(as_text(value))
    return [text] if text else []


def _folded(text: str) -> str:
    return text.strip().casefold()
