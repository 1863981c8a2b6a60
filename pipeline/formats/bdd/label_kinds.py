"""Kinds of BDD labels: what a category with certain attributes amounts to, found out once for all that share both.

Reading one label, with all that can be wrong about it, is in `bdd_label`.
"""

from functools import cached_property
from typing import Any

import msgspec

from pipeline.formats.bdd import label
from pipeline.formats.bdd.label import Label
from pipeline.formats.options import ReadOptions
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import json_text
from pipeline.recipe.categories import Meaning, is_line

Key = tuple[Any, bytes]
"""A label's category, and the JSON of its attributes, empty where it has none."""


class Kind:
    """What is the same for all labels of one category and the same text of attributes."""

    def __init__(self, key: Key, options: ReadOptions) -> None:
        self.word, self._text = key
        self._meaning, self.odd = self._find(options)
        self.wanted = self.odd or self._meaning is not None
        self.category = self._meaning.category if self._meaning else ""
        self.line = is_line(self.category)

    def _find(self, options: ReadOptions) -> tuple[Meaning | None, bool]:
        """Return the meaning, and whether `bdd_label` has to say what is wrong with the label."""
        try:
            return label.meaning(self._label(), options.wanted), False
        except LabelError:
            return None, True

    def _label(self) -> Label:
        given = msgspec.json.decode(self._text) if self._text else None
        return Label(category=self.word, attributes=given)

    @cached_property
    def _parted(self) -> tuple[dict[str, Any], dict[str, bool]]:
        return label.parted_attributes(self._label())

    @cached_property
    def attributes(self) -> str:
        """JSON of the attributes without the flags."""
        return json_text(self._parted[0])

    @cached_property
    def told(self) -> msgspec.Raw:
        """JSON of the attributes as they are, for a label that is left out; nothing where there are none."""
        given = self._label().attributes
        return label.ABSENT if given is None else msgspec.Raw(msgspec.json.encode(given))

    @property
    def flags(self) -> dict[str, bool]:
        """The flags that are given."""
        return self._parted[1]

    @property
    def ignored(self) -> bool:
        """Whether evaluation ignores the label, for its category or because it says so."""
        return (self._meaning is not None and self._meaning.ignored) or self.flags.get("ignored", False)


class Kinds(dict[Key, int]):
    """Numbers of kinds by key; one that is new is found out when it is looked up."""

    def __init__(self, options: ReadOptions) -> None:
        super().__init__()
        self._options = options
        self.found: list[Kind] = []
        """By number."""

    def __missing__(self, key: Key) -> int:
        self.found.append(Kind(key, self._options))
        self[key] = len(self.found) - 1
        return len(self.found) - 1
