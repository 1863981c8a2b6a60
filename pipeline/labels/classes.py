"""Decides the class of VIA regions: which attribute names it is chosen once a file, from all its regions."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline.formats.label_values import FLAGS, split_flags, unpacked
from pipeline.formats.via.regions import Options, text_of, text_of_option
from pipeline.instances.reasons import NO_CLASS, SEVERAL_CLASSES, LabelError
from pipeline.instances.tables import GEOMETRIES, Geometry, distinct_ids
from pipeline.recipe.categories import Wanted, folded

USUAL = ("name", "class", "type", "category", "label", "class_id")
"""Attributes, in any case, that name the class in files from elsewhere; earlier ones win among equally good ones."""

OWN = FLAGS | {"instance", "geometry", "attributes"}
"""Attributes that this project writes besides the class."""

UNSET = frozenset({"", "not_defined", "undefined"})
YES = frozenset({"yes", "true", "1", "x", "on"})

Ring = TypeVar("Ring")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassRule:
    """How the class of a region is found: in `attribute`, else in one of `others`, or it is the one key that is set.

    A region whose attribute repeats its key, as `crack: crack` does, has it as class where it says no other.
    """

    wanted: Wanted
    attribute: str | None = None
    others: tuple[str, ...] = ()
    """Attributes that may name the class of a region without `attribute`, in this order."""
    is_from_recipe: bool = False
    """Whether the recipe names `attribute`; `others` are then for regions that this project wrote."""
    constant: str | None = None
    """The class of all regions."""
    default: str | None = None
    """The class of a region that names none."""
    descriptions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By attribute: the options whose description is the class, rather than the option id."""

    def attribute_of(self, attributes: Mapping[str, Any]) -> str | None:
        """Return the attribute that names the class of a region, None if any set attribute may."""
        if self.attribute is None or chosen_values(attributes.get(self.attribute)):
            return self.attribute
        found = next((key for key in self.others if self._names_class(key, attributes)), None)
        if found is None and not self.is_from_recipe:
            found = next((key for key in attributes if _repeats(key, attributes[key])), None)
        return self.attribute if found is None else found

    def _names_class(self, key: str, attributes: Mapping[str, Any]) -> bool:
        """Say whether `key`, one of `others`, names the class of a region.

        `name` does if the region has `instance` as well, even empty: this project declares both.
        """
        names = chosen_values(attributes.get(key))
        if not names or (key == "name" and "instance" in attributes):
            return bool(names)
        if self.wanted.categories:
            return self.wanted.meaning(self._described(key, names[0])) is not None
        if self.is_from_recipe:
            return self.default is None and all(each == key or is_own(each) for each in attributes)
        return True

    def _name_of(self, key: str, value: Any) -> str:
        """Return the class that a set attribute says: its key, or its wanted value where it usually names classes."""
        meaning, names = self.wanted.meaning, chosen_values(value)
        is_named = bool(self.wanted.categories and names) and key.casefold() in USUAL and meaning(key) is None
        return names[0] if is_named and meaning(names[0]) is not None else key

    def _described(self, key: str, name: str) -> str:
        return self.descriptions.get(key, {}).get(name, name)

    def class_of(self, attributes: Mapping[str, Any]) -> str:
        """Return the class of a region; raises LabelError if it has several, or none and there is no default."""
        if self.constant is not None:
            return self.constant
        key = self.attribute_of(attributes)
        if key is None:
            names = [
                self._name_of(each, value)
                for each, value in attributes.items()
                if not is_own(each) and (value is True or chosen_values(value))
            ]
        else:
            names = [self._described(key, name) for name in chosen_values(attributes.get(key))]
        if not names and self.default is not None:
            return self.default
        if len(names) != 1:
            raise LabelError(SEVERAL_CLASSES if names else NO_CLASS)
        return names[0]


def chosen_values(value: Any) -> list[str]:
    """Return the values of an attribute: a text or number, the id of an option, or the ids of the checked boxes."""
    if isinstance(value, dict):
        return [key for key, checked in value.items() if checked is True or str(checked).casefold() in YES]
    text = text_of(value).strip()
    return [] if text.casefold() in UNSET else [text]


def _repeats(key: str, value: Any) -> bool:
    """Say whether an attribute's value is its key again, as in `crack: crack`, so that it names a class."""
    return [folded(name) for name in chosen_values(value)] == [folded(key)] and not is_own(key)


def is_own(key: str) -> bool:
    """Say whether an attribute is one that this project writes besides the class."""
    return key in OWN or key.casefold() in FLAGS


def find_rule(
    regions: Iterable[Mapping[str, Any]],
    wanted: Wanted,
    declared: Options,
    file: str | None,
    attribute: str | None = None,
    default: str | None = None,
) -> ClassRule:
    """Return the class rule of a label file, given the attributes of all its regions; logs it, unless `file` is None.

    `attribute` and `default` are `class_attribute` and `default_class` of the recipe.
    """
    values = _Values(declared, wanted, default)
    for attributes in regions:
        values.count(attributes)
    if attribute is not None:
        return values.rule_by(attribute, ("name",), is_from_recipe=True)
    rule = values.best_rule()
    if file is not None:
        _log_rule(rule, values, file)
    return rule


def _log_rule(rule: ClassRule, values: "_Values", file: str) -> None:
    if rule.constant is not None:
        log.info("%s: no region has attributes: the class of all is %s, the one category wanted", file, rule.constant)
    elif not values.found and rule.default is not None:
        log.info("%s: no region has attributes: the class of all is %s, labels.default_class", file, rule.default)
    elif values.found:
        keys = " or ".join(f"'{key}'" for key in (rule.attribute, *rule.others) if key)
        log.info("%s: the class is given by %s", file, keys or "which attribute is set")


class _Values:
    """The attributes of the regions of a file, and how often each value occurs."""

    def __init__(self, declared: Options, wanted: Wanted, default: str | None) -> None:
        self.regions = 0
        self.found: dict[str, Counter[str]] = {}
        self._usual_together: set[tuple[str, ...]] = set()
        """The usual attributes of each region."""
        self._declared, self._wanted, self._default = declared, wanted, default

    def count(self, attributes: Mapping[str, Any]) -> None:
        """Count the values of a region."""
        self.regions += 1
        usual: list[str] = []
        for key, value in attributes.items():
            names = [] if is_own(key) else chosen_values(value) or (["true"] if value is True else [])
            if names:
                self.found.setdefault(key, Counter()).update(names[:1])
                usual += [key] if key.casefold() in USUAL else []
        self._usual_together.add(tuple(usual))

    def best_rule(self) -> ClassRule:
        """Return the rule that gives most regions a wanted category; if all categories are, the most usual rule."""
        wanted = self._wanted.categories
        if not self.found:
            constant = wanted[0] if self.regions and len(wanted) == 1 and self._default is None else None
            return ClassRule(self._wanted, constant=constant, default=self._default)
        usual = [key for name in USUAL for key in self.found if key.casefold() == name]
        if wanted:
            hits = {key: self._count_wanted(key) for key in [*usual, *sorted(self.found)]}
            best = max(hits, key=lambda key: hits[key])
            by_key = sum(values.total() for key, values in self.found.items() if self._wanted.meaning(key) is not None)
            if hits[best] or by_key:
                return self._rule_with_others(best, usual) if hits[best] >= by_key else self.rule_by(None)
        if usual:
            return self._rule_with_others(usual[0], usual)
        only = next(iter(self.found)) if len(self.found) == 1 else None
        if only is not None and {value.casefold() for value in self.found[only]} <= YES:
            only = None
        return self.rule_by(only)

    def _rule_with_others(self, attribute: str, usual: Sequence[str]) -> ClassRule:
        """Return the rule by `attribute`, else by the usual attributes that no region has together with it.

        VIA offers `name` for new regions in a file whose classes are in `type`.
        """
        beside = {key for keys in self._usual_together if attribute in keys for key in keys}
        return self.rule_by(attribute, tuple(key for key in usual if key not in beside))

    def rule_by(self, attribute: str | None, others: tuple[str, ...] = (), is_from_recipe: bool = False) -> ClassRule:
        """Return the rule by `attribute`, else by `others`; with None, by the attribute that is set."""
        descriptions = {key: self._descriptions(key) for key in (attribute, *others) if key is not None}
        return ClassRule(
            self._wanted, attribute, others, is_from_recipe, default=self._default, descriptions=descriptions
        )

    def _descriptions(self, attribute: str) -> dict[str, str]:
        """Return the option ids that are no wanted category while their description is one, with the description.

        Other ids that are words are classes themselves: people write `scratch` for "a scratch longer than 5 cm".
        """
        meaning = self._wanted.meaning
        return {
            key: text
            for key, text in self._declared.get(attribute, {}).items()
            if self._wanted.categories and not key.isdigit() and meaning(key) is None and meaning(text) is not None
        }

    def _count_wanted(self, attribute: str) -> int:
        """Count the regions in which the value of this attribute is a wanted category."""
        descriptions, options = self._descriptions(attribute), self._declared.get(attribute, {})
        texts = ((text_of_option(value, options), count) for value, count in self.found[attribute].items())
        meaning = self._wanted.meaning
        return sum(count for text, count in texts if meaning(descriptions.get(text, text)) is not None)


@dataclass(slots=True)
class Instance(Generic[Ring]):
    """A labelled object in a VIA file: a region whose class is known, or several that are parts of one object."""

    id: str
    part_of: str | None
    """Regions of one class with the same `part_of` are parts of one object."""
    category: str
    geometry: Geometry
    flags: dict[str, bool]
    """Of crowd, ignored, occluded and truncated those that are known."""
    attributes: dict[str, Any]
    rings: list[Ring]
    """The mask is the union of the rings; or the rows of a table that hold them."""

    @property
    def crowd(self) -> bool:
        """Whether it is a group of objects."""
        return self.flags.get("crowd", False)

    @property
    def ignored(self) -> bool:
        """Whether training and evaluation ignore it."""
        return self.flags.get("ignored", False)

    def add(self, part: "Instance[Ring]") -> None:
        """Add a part of the instance: a flag is set if it is in any part, an attribute is that of the first part."""
        self.flags |= {flag: is_set or self.flags.get(flag, False) for flag, is_set in part.flags.items()}
        self.attributes = part.attributes | self.attributes
        self.geometry = part.geometry if self.geometry == "box" else self.geometry
        self.rings += part.rings


def join_parts(regions: Iterable[Instance[Ring]]) -> list[Instance[Ring]]:
    """Return the instances of an image, the parts of each joined, with distinct ids.

    The id of an instance is its `part_of`, else the id of the region.
    """
    instances: dict[tuple[str, str] | int, Instance[Ring]] = {}
    for number, region in enumerate(regions):
        key = (region.part_of, region.category) if region.part_of else number
        if key in instances:
            instances[key].add(region)
        else:
            instances[key] = region
    found = list(instances.values())
    ids = distinct_ids([each.part_of or each.id for each in found], [bool(each.part_of) for each in found])
    for region, label_id in zip(found, ids, strict=True):
        region.id = label_id
    return found


def flags_and_attributes(
    given: Mapping[str, Any], class_attribute: str | None
) -> tuple[dict[str, bool], dict[str, Any]]:
    """Return a region's flags, named in any case, and other attributes; a flag that is no yes or no is an attribute."""
    flags, rest = split_flags(
        {key: value for key, value in given.items() if key != class_attribute and not _has_column(key, value)}
    )
    return flags, unpacked(rest)


def _has_column(key: str, value: Any) -> bool:
    """Say whether an attribute is stored in another column of the labels, or is one of ours and empty."""
    if value is None or value == "":
        return is_own(key)
    return (key == "instance" and text_of(value) != "") or (key == "geometry" and value in GEOMETRIES)
