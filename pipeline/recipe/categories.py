"""The vocabulary of categories of all BDD releases: which word means what, and which categories a recipe wants."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

SYNONYMS = {
    "bike": "bicycle",
    "motor": "motorcycle",
    "person": "pedestrian",
    "area/drivable": "direct",
    "area/alternative": "alternative",
    "area/unknown": "drivable area",
}
"""Words of the 2018 releases (and of ins_seg, sem_seg, pan_seg) for what the 2020 detection labels call otherwise."""

DRIVABLE = "drivable area"
LANE = "lane"
LANE_TYPES = (
    "crosswalk", "double other", "double white", "double yellow", "road curb", "single other", "single white",
    "single yellow",
)  # fmt: skip
KINDS = {"direct": DRIVABLE, "alternative": DRIVABLE} | dict.fromkeys(LANE_TYPES, LANE)
"""Categories of 2020 that 2018 wrote as a kind (areaType, laneType) of a wider category."""

COUNTED_AS = {
    "caravan": "car",
    "van": "car",
    "other person": "pedestrian",
    "other vehicle": "car",
    "trailer": "truck",
}
"""Categories outside the ten of the detection benchmark, and the one that the official toolkit counts them as."""

IGNORED = frozenset({"other person", "other vehicle", "trailer"})
"""Of those, the ones that evaluation ignores, as the official toolkit does."""

DETECTION = (
    "pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "traffic light", "traffic sign",
)  # fmt: skip
"""Categories of det_20, ins_seg and seg_track in the order of their official ids, from 1."""

SEGMENTATION = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "vegetation", "terrain", "sky",
)  # fmt: skip
"""Categories that only sem_seg and pan_seg have."""

PANOPTIC = (
    "dynamic", "ego vehicle", "ground", "static", "parking", "rail track", "road", "sidewalk", "bridge", "building",
    "fence", "garage", "guard rail", "tunnel", "wall", "banner", "billboard", "lane divider", "parking sign",
    "pole", "polegroup", "street light", "traffic cone", "traffic device", "traffic light", "traffic sign",
    "traffic sign frame", "terrain", "vegetation", "sky", "person", "rider", "bicycle", "bus", "car", "caravan",
    "motorcycle", "trailer", "train", "truck",
)  # fmt: skip
"""Categories of pan_seg in the order of their official ids, from 1 (the toolkit's label/label.py)."""

VOCABULARY = frozenset([*DETECTION, *SEGMENTATION, *KINDS, *COUNTED_AS, DRIVABLE, LANE])
"""All categories, by their canonical names."""

LIKENESS = 0.85
"""Ratio of `difflib` from which two words look like spellings of one: `scrach` and `scratch` have 0.92."""
LONGEST_COMPARED = 64
"""Characters: longer texts are no names of classes."""
_MARKS = re.compile(r"\d+|\b[^\W\d]\b")
"""Numbers and single letters, as in `zone 1` and `grade b`, by which names differ on purpose."""


@dataclass(frozen=True)
class Meaning:
    """What a label's word means to a recipe: its category, and whether evaluation ignores the label."""

    category: str
    ignored: bool = False


@lru_cache(maxsize=4096)
def canonical(word: str) -> str:
    """Return the official (2020) name of a category given in any release's words; unknown words come back as they are.

    `bike` → `bicycle`, `area/drivable` → `direct`, `lane/road curb` → `road curb`, `Swan` → `Swan`.
    """
    spelled = " ".join(word.casefold().replace("_", " ").split())
    spelled = SYNONYMS.get(spelled, spelled).removeprefix("lane/")
    return spelled if spelled in VOCABULARY else word.strip()


def folded(word: str) -> str:
    """Return a word without the case and the white space in which spellings of a name differ."""
    return " ".join(word.casefold().split())


def look_alike(first: str, second: str) -> bool:
    """Say whether two different names may be spellings of one; those of the vocabulary never are."""
    if {first, second} <= VOCABULARY or max(len(first), len(second)) > LONGEST_COMPARED:
        return False
    one, other = (folded(name.replace("_", " ")) for name in (first, second))
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return (
        _MARKS.findall(one) == _MARKS.findall(other)
        and matcher.quick_ratio() >= LIKENESS
        and matcher.ratio() >= LIKENESS
    )


def kind_of(category: str, kind: str | None) -> str:
    """Return the 2020 category of a 2018 label of canonical `category` whose areaType or laneType is `kind`."""
    return kind if kind is not None and KINDS.get(kind) == category else category


def is_line(category: str) -> bool:
    """Say whether labels of this canonical category are open lines (lane markings) rather than areas."""
    return category == LANE or KINDS.get(category) == LANE


class Wanted:
    """The categories that a recipe wants, in any release's words; `Wanted([])` wants all.

    A category named by the recipe wins over the wider one: with `direct` and `drivable area` wanted, the direct areas
    are `direct` and the others `drivable area`; with `trailer` wanted, trailers are not counted as ignored trucks.
    A word that is none of the categories is one that differs in case and white space alone, if only one does.
    """

    def __init__(self, categories: Sequence[str], rename: Mapping[str, str] | None = None) -> None:
        """`rename` gives words, in any case, the name that they are read as."""
        self.categories = tuple(dict.fromkeys(canonical(word) for word in categories))
        """Canonical names in the recipe's order, without repeats; empty: all are wanted."""
        spellings = Counter(map(folded, self.categories))
        self._by_spelling = {folded(name): name for name in self.categories if spellings[folded(name)] == 1}
        self._rename = {folded(canonical(word)): canonical(name) for word, name in (rename or {}).items()}

    def meaning(self, word: str, kind: str | None = None) -> Meaning | None:
        """Return what `word` (with its areaType or laneType) means to the recipe, or None where it isn't wanted."""
        category = kind_of(canonical(word), kind)
        category = self._rename.get(folded(category), category)
        if category not in self.categories:
            category = self._by_spelling.get(folded(category), category)
        wider = COUNTED_AS.get(category)
        counted = Meaning(wider, category in IGNORED) if wider else None
        if not self.categories:
            return counted or Meaning(category)
        if category in self.categories:
            return Meaning(category)
        if counted:
            return counted if counted.category in self.categories else None
        wider = KINDS.get(category)
        return Meaning(wider) if wider in self.categories else None


class AnyWord(Wanted):
    """Wants all categories, each under the very word that a label has."""

    def __init__(self) -> None:
        super().__init__([])

    def meaning(self, word: str, kind: str | None = None) -> Meaning:
        """Return the word itself."""
        return Meaning(word)
