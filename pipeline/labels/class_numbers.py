"""The classes of labels as numbers, and the labels of categories that are not wanted, counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.recipe.categories import Meaning, Wanted, canonical, folded, kind_of, look_alike

REGION, UNWANTED = -1, -2
"""In the place of the number of a class: a VIA region, whose class is not known yet; the first category that is not
wanted, from which the others count down."""

MOST_COMPARED = 200
"""Categories, the most frequent first, that are compared with each other where all are wanted."""


@dataclass
class Classes:
    """The classes of the labels, numbered, and the labels that are not wanted, counted."""

    wanted: Wanted
    numbers: dict[tuple[str, Meaning], int] = field(default_factory=dict)
    """By source category and what it means."""
    unwanted: Counter[str] = field(default_factory=Counter)
    unwanted_numbers: dict[str, int] = field(default_factory=dict)

    def number(self, word: str, kind: str | None = None, count: int = 1) -> int:
        """Return the number of the class of `count` labels; if it isn't wanted, count them."""
        meaning = self.wanted.meaning(word, kind)
        if meaning is None:
            category = kind_of(canonical(word), kind)
            self.unwanted[category] += count
            return self.unwanted_numbers.setdefault(category, UNWANTED - len(self.unwanted_numbers))
        return self.add(word, meaning)

    def add(self, word: str, meaning: Meaning) -> int:
        """Return the number of a class, a new one if needed."""
        return self.numbers.setdefault((word, meaning), len(self.numbers))

    def merge_spellings(self, totals: Mapping[str, int]) -> None:
        """Where all categories are wanted, read those that differ in case and white space as the most frequent one."""
        if self.wanted.categories:
            return
        first: dict[str, str] = {}
        for category in sorted(totals, key=lambda name: (-totals[name], name != folded(name), name)):
            first.setdefault(folded(category), category)
        self.numbers = {
            (word, replace(meaning, category=first[folded(meaning.category)])): number
            for (word, meaning), number in self.numbers.items()
        }

    def totals(self, counts: NDArray[np.int64]) -> Counter[str]:
        """Return how many labels each wanted category has; `counts` are by number of a class."""
        found: Counter[str] = Counter()
        for (_, meaning), number in self.numbers.items():
            found[meaning.category] += int(counts[number])
        return found

    def spellings(self, counts: NDArray[np.int64]) -> dict[str, Counter[str]]:
        """Return, by category, the spellings that differ from it in case and white space alone, counted."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for (word, meaning), number in self.numbers.items():
            spelling = canonical(word)
            if spelling != meaning.category and folded(spelling) == folded(meaning.category):
                found[meaning.category][spelling] += int(counts[number])
        return dict(found)

    def alike(self, totals: Mapping[str, int]) -> dict[str, str]:
        """Return the categories that look like misspelt ones, each with the category that may be meant."""
        if self.wanted.categories:
            words, meant = list(self.unwanted_numbers), [list(self.wanted.categories)] * len(self.unwanted_numbers)
        else:
            words = sorted(totals, key=lambda name: (-totals[name], name))[:MOST_COMPARED]
            meant = [words[:at] for at in range(len(words))]
        pairs = (
            (word, next((name for name in names if look_alike(word, name)), ""))
            for word, names in zip(words, meant, strict=True)
        )
        return {word: name for word, name in pairs if name}

    def rows_of(self, categories: Iterable[str], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels of some categories, wanted or not; `numbers` ([N]) are those of the labels' classes."""
        chosen = set(categories)
        found = [number for (_, meaning), number in self.numbers.items() if meaning.category in chosen]
        found += [number for category, number in self.unwanted_numbers.items() if category in chosen]
        return np.flatnonzero(np.isin(numbers, found))
