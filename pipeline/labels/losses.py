"""Labelled images that end up without labels, or with others than a label file has: counted by kind, with examples."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.artifacts.summary import Check
from pipeline.instances.reasons import (
    EMPTIED,
    FILTER_REASONS,
    MISSPELT,
    OTHER_FILE,
    OVER_LIMIT,
    REPLACED,
    TWICE,
    TWICE_ALIKE,
    UNREADABLE,
    WHERE,
)
from pipeline.labels.merging import MergedLabels
from pipeline.labels.splits import LabelledImage

DIFFERING = frozenset({TWICE, OTHER_FILE})
"""Reasons for leaving out labels of an image beside other labels that count."""
KINDS_NAMED = 5
LONGEST_SHOWN = 80
"""Characters of a name in a message."""
EMPTY_HINT = "labels.later_sources_may_empty: true takes them away"


def shown(name: str, most: int = LONGEST_SHOWN) -> str:
    """Return a name from a label file as a terminal may show it: the end of a long one, without control characters."""
    printable = "".join(each if each.isprintable() else "?" for each in name)
    return printable if len(printable) <= most else f"…{printable[1 - most :]}"


@dataclass
class Kind:
    """Images that lost their labels for one reason, or have others than an entry of a label file."""

    count: int = 0
    example: str = ""
    """Name of the first image and its label file."""

    def add(self, example: str) -> None:
        """Count an image."""
        self.count += 1
        self.example = self.example or example


@dataclass
class Losses:
    """What became of the images that have labels of wanted categories, or of such as look like wanted ones."""

    labelled: int = 0
    """Such images in the label files, those without an image file included."""
    kept: int = 0
    """Those that have instances in a split."""
    lost: dict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    """Images without any instance, by reason."""
    chosen: dict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    """Images that the recipe leaves out or without instances, by reason."""
    changed: dict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    """Images that are kept, while other labels of theirs are not, by reason."""
    kept_earlier: Kind = field(default_factory=Kind)
    """Images whose labels of an earlier source stay since a later one has none."""
    alike: Mapping[str, str] = field(default_factory=dict)
    """Names that look like misspelt ones, each with the one that may be meant."""


def count_losses(
    merged: MergedLabels, members: Mapping[str, Sequence[LabelledImage]], left_out: Mapping[int, str]
) -> Losses:
    """Return what became of labelled images; `left_out` has the reason for images (rows of the index) in no split."""
    entries, losses = merged.entries, Losses(alike=merged.selection.alike)
    kept = {image.row for images in members.values() for image in images if image.count}
    causes = _Causes(merged, left_out)
    by_image: dict[int | str, list[int]] = defaultdict(list)
    for entry in entries.order:
        if causes.is_labelled[entry]:
            row = int(entries.rows[entry])
            by_image[row if row >= 0 else entries.names[entry]].append(entry)
    losses.labelled = len(by_image)
    for image, of_image in by_image.items():
        if image in kept:
            losses.kept += 1
            for reason, entry in causes.of_changes(of_image):
                losses.changed[reason].add(causes.example(entry))
        else:
            reason, entry, is_fault = causes.of_loss(of_image)
            (losses.lost if is_fault else losses.chosen)[reason].add(causes.example(entry))
    for entry in entries.kept_earlier:
        losses.kept_earlier.add(causes.example(entry))
    return losses


class _Causes:
    """The reasons why an image lost the labels of its entries."""

    def __init__(self, merged: MergedLabels, left_out: Mapping[int, str]) -> None:
        self._merged, self._left_out = merged, left_out
        selection, count = merged.selection, len(merged.entries.names)
        entry_of = selection.labels["image"].to_numpy()
        self._ends = np.searchsorted(entry_of, np.arange(count + 1))
        self._has_usable = np.bincount(entry_of[selection.reasons == ""], minlength=count) > 0
        self._is_misspelt = np.zeros(count, bool)
        self._is_misspelt[selection.misspelt] = True
        self.is_labelled = (np.diff(self._ends) > 0) | self._is_misspelt
        self.is_labelled[list(selection.unread)] = True

    def example(self, entry: int) -> str:
        """Return the name of an entry's image and its label file, for messages."""
        entries = self._merged.entries
        return f"{shown(entries.names[entry]) or 'one without a name'} in {shown(entries.files[entry])}"

    def of_changes(self, entries: Sequence[int]) -> Iterator[tuple[str, int]]:
        """Yield each reason why labels of an image that is kept were left out, and an entry."""
        found: dict[str, int] = {}
        for entry in entries:
            reason = self._merged.entries.reasons[entry]
            if reason and reason not in (REPLACED, TWICE_ALIKE):
                found.setdefault(reason, entry)
            elif not reason and self._is_misspelt[entry]:
                found.setdefault(MISSPELT, entry)
        yield from found.items()

    def of_loss(self, entries: Sequence[int]) -> tuple[str, int, bool]:
        """Return why an image has no instance in any split, the entry, and whether that is no choice of the recipe."""
        row = int(self._merged.entries.rows[entries[0]])
        if row in self._left_out and self._merged.images[row].count:
            reason = self._left_out[row]
            return reason, entries[0], _is_fault(reason)
        causes = [(self._cause(entry), entry) for entry in entries]
        causes.sort(key=lambda cause: not _is_fault(cause[0]))
        reason, entry = causes[0]
        return reason, entry, _is_fault(reason)

    def _cause(self, entry: int) -> str:
        reason = self._merged.entries.reasons[entry]
        if reason == REPLACED and self._has_usable[entry]:
            return EMPTIED
        if reason and reason not in (REPLACED, TWICE_ALIKE):
            return reason
        return self._reason_of_labels(entry)

    def _reason_of_labels(self, entry: int) -> str:
        """Return the most frequent reason of the labels of an entry, a choice of the recipe after all others."""
        start, end = self._ends[entry : entry + 2]
        found = Counter(self._merged.reasons[start:end].tolist())
        found.update(each.reason for each in self._merged.selection.unread.get(entry, ()))
        if not found:
            return MISSPELT
        return max(found, key=lambda reason: (_is_fault(reason), found[reason]))


def _is_fault(reason: str) -> bool:
    """Say whether a reason is no choice of the recipe."""
    return reason not in (*FILTER_REASONS, OVER_LIMIT, EMPTIED) and not reason.startswith(WHERE)


def labelled_pictures_kept(losses: Losses) -> Check:
    """Check that no labelled image lost its labels, or has others than a label file, but as the recipe says."""
    numbers = {"labelled": losses.labelled, "kept": losses.kept}
    numbers |= {reason: kind.count for kinds in (losses.lost, losses.chosen) for reason, kind in kinds.items()}
    numbers |= {f"kept, but {reason}": kind.count for reason, kind in losses.changed.items()}
    parts = [f"{losses.kept} of {losses.labelled} labelled images have instances"]
    for title, kinds in (
        ("the others lost theirs", losses.lost),
        ("some have others than a label file says", losses.changed),
        ("left out by the recipe", losses.chosen),
    ):
        if kinds:
            parts.append(f"{title}: {_listed(kinds)}")
    if MISSPELT in losses.lost or MISSPELT in losses.changed:
        pairs = [f"{word!r} and {meant!r}" for word, meant in list(losses.alike.items())[:KINDS_NAMED]]
        parts.append(f"labels.rename merges names that look alike: {', '.join(pairs)}")
    if losses.kept_earlier.count:
        numbers["labels of an earlier source kept"] = losses.kept_earlier.count
        parts.append(
            f"{losses.kept_earlier.count} keep the labels of an earlier source where a later one has none "
            f"({losses.kept_earlier.example}): {EMPTY_HINT}"
        )
    passed = not losses.lost and not losses.changed
    return Check("labelled_pictures_kept", passed, "; ".join(parts), {key: float(n) for key, n in numbers.items()})


def labelled_images_decode(losses: Losses) -> Check:
    """Check that no labelled image is lost since its file is damaged."""
    damaged = losses.lost.get(UNREADABLE, Kind())
    text = f"{damaged.count} of {losses.labelled} labelled images can't be decoded"
    if damaged.count:
        text += (
            f" (e.g. {damaged.example}; rejected.parquet of raw_images says why): mend or remove them, or set "
            "checks: {labelled_images_decode: warn} in the recipe to go on without them"
        )
    return Check(
        "labelled_images_decode",
        passed=not damaged.count,
        description=text,
        numbers={"damaged": damaged.count, "labelled": losses.labelled},
        examples=[{"image": damaged.example}] if damaged.count else [],
    )


def _listed(kinds: Mapping[str, Kind]) -> str:
    """Return kinds with counts and examples, the most frequent first."""
    ordered = sorted(kinds.items(), key=lambda item: (-item[1].count, item[0]))
    named = [f"{reason} ({kind.count}, e.g. {kind.example})" for reason, kind in ordered[:KINDS_NAMED]]
    return ", ".join([*named, *(["…"] if len(ordered) > KINDS_NAMED else [])])
