"""The class of VIA regions: which attribute names it, or which key is set, or not at all; and which regions are one.

The choice is made once a file, from all its regions, and said in the log.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.formats.label_values import FLAGS, answer
from pipeline.formats.via.regions import Options, text_of, text_of_option
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import GEOMETRIES, DistinctIds, Geometry
from pipeline.recipe.categories import Wanted

USUAL = ("name", "class", "type", "category", "label", "class_id")
"""Attributes, in any case, that name the class in files in the field; earlier ones win where several would do."""

OWN = FLAGS | {"instance", "geometry", "attributes"}
"""Attributes of the VIA files that this project writes, which never name the class."""

UNSET = frozenset({"", "not_defined", "undefined"})
YES = frozenset({"yes", "true", "1", "x", "on"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassRule:
    """How to tell the class of a region: by `attribute`, or all are `constant`, or the one key that is set."""

    wanted: Wanted
    attribute: str | None = None
    others: tuple[str, ...] = ()
    """Attributes that may name the class of a region which doesn't have `attribute`, the first one first."""
    asked_for: bool = False
    """Whether the recipe names `attribute`; others are then those of regions that this project wrote."""
    constant: str | None = None
    default: str | None = None
    """The class of a region that names none."""
    meant: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By attribute: what options stand for, where that is the class rather than what `with_option_texts` has."""

    def key_of(self, attributes: Mapping[str, Any]) -> str | None:
        """Return the attribute that names the class of a region, if one does."""
        if self.attribute is None or chosen(attributes.get(self.attribute)):
            return self.attribute
        return next((key for key in self.others if self._names_class(key, attributes)), self.attribute)

    def _names_class(self, key: str, attributes: Mapping[str, Any]) -> bool:
        """Say whether the class of a region is under `key`, one of the `others`.

        It is under `name` where the region has `instance` as well, be it empty: this project declares both.
        """
        names = chosen(attributes.get(key))
        if not names or (key == "name" and "instance" in attributes):
            return bool(names)
        if self.wanted.categories:
            return self.wanted.meaning(self._meaning(key, names[0])) is not None
        if self.asked_for:
            return self.default is None and all(each == key or is_own(each) for each in attributes)
        return True

    def _meaning(self, key: str, name: str) -> str:
        return self.meant.get(key, {}).get(name, name)

    def name_of(self, attributes: Mapping[str, Any]) -> str:
        """Return the class of a region; raises LabelError where it has several, or none and there is no default."""
        if self.constant is not None:
            return self.constant
        key = self.key_of(attributes)
        if key is None:
            names = [
                each for each, value in attributes.items() if not is_own(each) and (value is True or chosen(value))
            ]
        else:
            names = chosen(attributes.get(key))
        if not names and self.default is not None:
            return self.default
        if len(names) != 1:
            raise LabelError(reasons.SEVERAL_CLASSES if names else reasons.NO_CLASS)
        return self._meaning(key, names[0]) if key is not None else names[0]


def chosen(value: Any) -> list[str]:
    """Return what an attribute's value says: its text, the id of the option, or the ids of the boxes ticked."""
    if isinstance(value, dict):
        return [key for key, ticked in value.items() if ticked is True or str(ticked).casefold() in YES]
    text = text_of(value).strip()
    return [] if text.casefold() in UNSET else [text]


def is_own(key: str) -> bool:
    """Say whether an attribute is one of those that this project writes."""
    return key in OWN or key.casefold() in FLAGS


def find_rule(
    regions: Iterable[Mapping[str, Any]],
    wanted: Wanted,
    declared: Options,
    name: str | None,
    attribute: str | None = None,
    default: str | None = None,
) -> ClassRule:
    """Return how a file gives the class: by the attributes of all its regions and the recipe; logged under `name`.

    `attribute` and `default` are the recipe's `class_attribute` and `default_class`.
    """
    values = _Values(declared, wanted, default)
    for attributes in regions:
        values.count(attributes)
    if attribute is not None:
        return values.rule_by(attribute, ("name",), asked_for=True)
    rule = values.rule()
    if name is not None:
        _say(rule, values, name)
    return rule


def _say(rule: ClassRule, values: "_Values", name: str) -> None:
    if rule.constant is not None:
        log.info("%s: no region has attributes: all are taken for %s, the one category wanted", name, rule.constant)
    elif not values.found and rule.default is not None:
        log.info("%s: no region has attributes: all are taken for %s, labels.default_class", name, rule.default)
    elif values.found:
        keys = " or ".join(f"'{key}'" for key in (rule.attribute, *rule.others) if key)
        log.info("%s: the class is given by %s", name, keys or "which key is set")


class _Values:
    """Which attributes the regions of a file have, and with which values."""

    def __init__(self, declared: Options, wanted: Wanted, default: str | None) -> None:
        self.regions = 0
        self.found: dict[str, Counter[str]] = {}
        self._usual_together: set[tuple[str, ...]] = set()
        """Usual attributes that a region has beside one another."""
        self._declared, self._wanted, self._default = declared, wanted, default

    def count(self, attributes: Mapping[str, Any]) -> None:
        self.regions += 1
        usual: list[str] = []
        for key, value in attributes.items():
            if is_own(key):
                continue
            names = chosen(value) or (["true"] if value is True else [])
            if names:
                self.found.setdefault(key, Counter()).update(names[:1])
                usual += [key] if key.casefold() in USUAL else []
        self._usual_together.add(tuple(usual))

    def rule(self) -> ClassRule:
        """Return the rule that gives most regions a category that is wanted; where all are, the most usual one."""
        wanted = self._wanted.categories
        if not self.found:
            constant = wanted[0] if self.regions and len(wanted) == 1 and self._default is None else None
            return ClassRule(self._wanted, constant=constant, default=self._default)
        usual = [key for name in USUAL for key in self.found if key.casefold() == name]
        if wanted:
            hits = {key: self._hits(key) for key in [*usual, *sorted(self.found)]}
            best = max(hits, key=lambda key: hits[key])
            by_key = sum(values.total() for key, values in self.found.items() if self._wanted.meaning(key) is not None)
            if hits[best] or by_key:
                return self._with_others(best, usual) if hits[best] >= by_key else self.rule_by(None)
        if usual:
            return self._with_others(usual[0], usual)
        only = next(iter(self.found)) if len(self.found) == 1 else None
        if only is not None and {value.casefold() for value in self.found[only]} <= YES:
            only = None
        return self.rule_by(only)

    def _with_others(self, attribute: str, usual: Sequence[str]) -> ClassRule:
        """Return the rule that `attribute` names the class, else a usual one that no region has beside it.

        VIA offers `name` for regions that are drawn in a file whose classes are under `type`.
        """
        beside = {key for keys in self._usual_together if attribute in keys for key in keys}
        alone = attribute in usual
        return self.rule_by(attribute, tuple(key for key in usual if alone and key not in beside))

    def rule_by(self, attribute: str | None, others: tuple[str, ...] = (), asked_for: bool = False) -> ClassRule:
        """Return the rule that `attribute`, else one of `others`, names the class, or (None) that the key set does."""
        meant = {key: self._meant(key) for key in (attribute, *others) if key is not None}
        return ClassRule(self._wanted, attribute, others, asked_for, default=self._default, meant=meant)

    def _meant(self, attribute: str) -> dict[str, str]:
        """Return what option ids that are words stand for: their description, where that is wanted and they are not.

        Else they are classes themselves, since people write `scratch` for "a scratch longer than 5 cm".
        """
        meaning = self._wanted.meaning
        return {
            key: text
            for key, text in self._declared.get(attribute, {}).items()
            if self._wanted.categories and not key.isdigit() and meaning(key) is None and meaning(text) is not None
        }

    def _hits(self, attribute: str) -> int:
        """Count the regions whose value of this attribute is a category that the recipe wants."""
        meant = self._meant(attribute)
        texts = (
            (text_of_option(value, self._declared.get(attribute, {})), n) for value, n in self.found[attribute].items()
        )
        return sum(times for text, times in texts if self._wanted.meaning(meant.get(text, text)) is not None)


@dataclass
class Region:
    """What a region of an image says besides where it lies, or several that are one instance."""

    id: str
    part_of: str | None
    """What regions of one class share that are one instance."""
    category: str
    geometry: Geometry
    flags: dict[str, bool]
    attributes: dict[str, Any]
    rows: list[int]
    """Where the regions stand."""

    def add(self, part: "Region") -> None:
        """Take another part of the instance: a flag holds where one says yes, an attribute as the first has it."""
        self.flags |= {flag: said or self.flags.get(flag, False) for flag, said in part.flags.items()}
        self.attributes = part.attributes | self.attributes
        self.geometry = part.geometry if self.geometry == "box" else self.geometry
        self.rows += part.rows


def joined(regions: Iterable[Region]) -> list[Region]:
    """Return the instances of an image, those that are parts of one joined, with ids of which each stands once.

    An instance has its own id, else that of its region, with a number behind one that is had.
    """
    wholes: dict[tuple[str, str] | int, Region] = {}
    for number, region in enumerate(regions):
        key = (region.part_of, region.category) if region.part_of else number
        if key in wholes:
            wholes[key].add(region)
        else:
            wholes[key] = region
    ids = DistinctIds({region.part_of for region in wholes.values() if region.part_of})
    for region in wholes.values():
        region.id = ids.give(region.part_of or region.id, bool(region.part_of))
    return list(wholes.values())


def parted(given: Mapping[str, Any], class_attribute: str | None) -> tuple[dict[str, bool], dict[str, Any]]:
    """Return a region's flags, named in any case, and other attributes, as which a flag counts that gives no answer."""
    flags: dict[str, bool] = {}
    rest: dict[str, Any] = {}
    for key, value in given.items():
        if key == class_attribute or _is_placed(key, value):
            continue
        flag, said = key.casefold(), answer(value)
        if flag in FLAGS and flag not in flags and said is not None:
            flags[flag] = said
        elif key == "attributes" and isinstance(inner := _parsed(value), dict):
            rest = inner | rest
        else:
            rest[key] = value
    return flags, rest


def _is_placed(key: str, value: Any) -> bool:
    """Say whether an instance has a place of its own for this attribute, or it is ours and left empty."""
    if value is None or value == "":
        return is_own(key)
    return (key == "instance" and text_of(value) != "") or (key == "geometry" and value in GEOMETRIES)


def _parsed(value: Any) -> Any:
    """Return the JSON that the text `value` holds, or `value` itself where it is none."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
