"""How a VIA file gives the class of its regions: which attribute names it, or which key is set, or not at all.

The choice is made once a file, from all its regions, and said in the log.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.readers import faults
from pipeline.readers.faults import LabelError
from pipeline.readers.options import ReadOptions

USUAL = ("name", "class", "type", "category", "label", "class_id")
"""Attributes that name the class in files in the field; earlier ones win where several would do."""

OWN = frozenset({"instance", "crowd", "ignored", "occluded", "truncated", "geometry", "attributes"})
"""Attributes of the VIA files that this project writes, which never name the class."""

UNSET = frozenset({"", "not_defined", "undefined"})
YES = frozenset({"yes", "true", "1", "x", "on"})

log = logging.getLogger(__name__)

Options = Mapping[str, Mapping[str, str]]
"""For attributes with declared options: what each option id stands for."""


@dataclass(frozen=True)
class ClassRule:
    """How to tell the class of a region: by `attribute`, or all are `constant`, or the one key that is set."""

    attribute: str | None = None
    constant: str | None = None
    options: Options = field(default_factory=dict)

    def name_of(self, attributes: Mapping[str, Any]) -> str:
        """Return the class of a region; raises LabelError where it has none, or several."""
        if self.constant is not None:
            return self.constant
        if self.attribute is None:
            names = [key for key, value in attributes.items() if key not in OWN and (value is True or chosen(value))]
        else:
            names = chosen(attributes.get(self.attribute))
        if len(names) != 1:
            raise LabelError(faults.SEVERAL_CLASSES if names else faults.NO_CLASS)
        return self.options.get(self.attribute or "", {}).get(names[0], names[0])


def chosen(value: Any) -> list[str]:
    """Return what an attribute's value says: its text, the id of the option, or the ids of the boxes ticked."""
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, dict):
        return [key for key, ticked in value.items() if ticked is True or str(ticked).casefold() in YES]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    return [] if text.casefold() in UNSET else [text]


def find_rule(regions: Iterable[Mapping[str, Any]], options: ReadOptions, declared: Options, name: str) -> ClassRule:
    """Return how the file `name` gives the class, from the attributes of all its regions and the recipe."""
    if options.class_attribute is not None:
        return ClassRule(options.class_attribute, options=declared)
    values = _Values()
    for attributes in regions:
        values.count(attributes)
    rule = values.rule(options, declared)
    if rule.constant is not None:
        log.info("%s: no region has attributes: all are taken for %s, the one category wanted", name, rule.constant)
    elif values.regions:
        log.info("%s: the class is given by %s", name, f"'{rule.attribute}'" if rule.attribute else "which key is set")
    return rule


class _Values:
    """Which attributes the regions of a file have, and with which values."""

    def __init__(self) -> None:
        self.regions = 0
        self._values: dict[str, Counter[str]] = {}

    def count(self, attributes: Mapping[str, Any]) -> None:
        self.regions += 1
        for key, value in attributes.items():
            if key in OWN:
                continue
            names = chosen(value) or (["true"] if value is True else [])
            if names:
                self._values.setdefault(key, Counter()).update(names[:1])

    def rule(self, options: ReadOptions, declared: Options) -> ClassRule:
        wanted = options.wanted.categories
        if not self._values:
            constant = wanted[0] if self.regions and len(wanted) == 1 else None
            return ClassRule(constant=constant)
        usual = [key for key in USUAL if key in self._values]
        if wanted:
            hits = {key: self._hits(key, options, declared) for key in [*usual, *sorted(self._values)]}
            best = max(hits, key=lambda key: hits[key])
            by_key = sum(
                values.total() for key, values in self._values.items() if options.wanted.meaning(key) is not None
            )
            if hits[best] or by_key:
                return ClassRule(best if hits[best] >= by_key else None, options=declared)
        if usual:
            return ClassRule(usual[0], options=declared)
        only = next(iter(self._values)) if len(self._values) == 1 else None
        if only is not None and {value.casefold() for value in self._values[only]} <= YES:
            only = None
        return ClassRule(only, options=declared)

    def _hits(self, key: str, options: ReadOptions, declared: Options) -> int:
        """Count the regions whose value of this attribute is a category that the recipe wants."""
        names = declared.get(key, {})
        return sum(
            times
            for value, times in self._values[key].items()
            if options.wanted.meaning(names.get(value, value)) is not None
        )
