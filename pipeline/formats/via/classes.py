"""How a VIA file gives the class of its regions: which attribute names it, or which key is set, or not at all.

The choice is made once a file, from all its regions, and said in the log.
"""

import html
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.formats.options import FLAGS, ReadOptions, answer
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.recipe.categories import Wanted

log = logging.getLogger(__name__)

Options = Mapping[str, Mapping[str, str]]
"""By attribute: what each option id stands for."""


def declared_options(region_attributes: Any) -> dict[str, Mapping[str, str]]:
    """Return what a project's options of region attributes stand for; without a description, for themselves."""
    found: dict[str, Mapping[str, str]] = {}
    for name, attribute in region_attributes.items() if isinstance(region_attributes, dict) else ():
        options = attribute.get("options") if isinstance(attribute, dict) else None
        if isinstance(options, dict):
            texts = {key: text for key, text in options.items() if isinstance(text, str)}
            found[name] = {key: html.unescape(text).strip() or key for key, text in texts.items()}
    return found


def texts_to_choose(options: Mapping[str, str]) -> dict[str, str]:
    """Return options as `spelled_out` has them: those whose ids are mere numbers by their texts."""
    return {text_of_option(option, options): text for option, text in options.items()}


def text_of_option(option: str, options: Mapping[str, str]) -> str:
    """Return what an option id stands for where it is a mere number; ids that are words say something themselves."""
    return options.get(option, option) if option.isdigit() else option


def spelled_out(attributes: Mapping[str, Any], declared: Options) -> Mapping[str, Any]:
    """Return attributes with `text_of_option` in the place of option ids; an answer that 1 or 0 gives stays one."""
    if not declared:
        return attributes
    return {key: _spelled(key, value, declared[key]) if key in declared else value for key, value in attributes.items()}


def _spelled(key: str, value: Any, options: Mapping[str, str]) -> Any:
    if isinstance(value, dict):  # boxes to tick
        ticked: dict[str, Any] = {}
        for option, said in value.items():
            text = text_of_option(option, options)
            ticked[text] = ticked.get(text) or said
        return ticked
    text = text_of_option(value, options) if isinstance(value, str) else value
    return value if key.casefold() in FLAGS and answer(text) is None else text


USUAL = ("name", "class", "type", "category", "label", "class_id")
"""Attributes, in any case, that name the class in files in the field; earlier ones win where several would do."""

OWN = FLAGS | {"instance", "geometry", "attributes"}
"""Attributes of the VIA files that this project writes, which never name the class."""

UNSET = frozenset({"", "not_defined", "undefined"})
YES = frozenset({"yes", "true", "1", "x", "on"})


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
    """By attribute: what options stand for, where that is the class rather than what `via_options.spelled_out` has."""

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


def text_of(value: Any) -> str:
    """Return a text as it is and a number as text (`12` also for 12.0); empty where the value is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def is_own(key: str) -> bool:
    """Say whether an attribute is one of those that this project writes."""
    return key in OWN or key.casefold() in FLAGS


def find_rule(
    regions: Iterable[Mapping[str, Any]], options: ReadOptions, declared: Options, name: str | None
) -> ClassRule:
    """Return how a file gives the class: by the attributes of all its regions and the recipe; logged under `name`."""
    values = _Values(declared, options)
    for attributes in regions:  # to its end, since what a project declares may come last
        values.count(attributes)
    if options.class_attribute is not None:
        return values.rule_by(options.class_attribute, ("name",), asked_for=True)
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

    def __init__(self, declared: Options, options: ReadOptions) -> None:
        self.regions = 0
        self.found: dict[str, Counter[str]] = {}
        self._usual_together: set[tuple[str, ...]] = set()
        """Usual attributes that a region has beside one another."""
        self._declared, self._wanted, self._default = declared, options.wanted, options.default_class

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
