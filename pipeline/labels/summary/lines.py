"""What the terminal says of filtered labels: a table, what was left out, names that may be mistaken."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.instances.tables import SPLITS
from pipeline.labels.losses import shown
from pipeline.labels.rejections import Rejections
from pipeline.labels.selection import Selection
from pipeline.labels.summary.tally import Tally

MOST_NAMED, MOST_CLASSES = 8, 30
"""Entries of a list, and classes of the table, that the terminal shows."""
LONGEST_NAME = 40
"""Characters of a name on the terminal."""


def table(classes: Sequence[str], tally: Tally) -> list[str]:
    """Return a table of images and of the instances of each class, a column a split."""
    splits = [split for split in SPLITS if tally.images[split] or split != "test"]
    rows: list[tuple[str, Sequence[int | str]]] = [
        ("", splits),
        ("images", [tally.images[split] for split in splits]),
        ("  without instances", [tally.without_instances[split] for split in splits]),
    ]
    for category in classes[:MOST_CLASSES]:
        rows.append((short(category), [tally.categories[split, category] for split in splits]))
    titles = max(len(title) for title, _ in rows)
    width = max(len(str(value)) for _, values in rows for value in values) + 2
    lines = [f"{title:<{titles}}{''.join(f'{value:>{width}}' for value in values)}" for title, values in rows]
    return [*lines, *([f"… {len(classes) - MOST_CLASSES} more classes"] if len(classes) > MOST_CLASSES else [])]


def left_out(rejections: Rejections) -> list[str]:
    """Return the most frequent reasons for leaving something out, with the rows of rejected.parquet."""
    found = rejections.by_reason.most_common(MOST_NAMED)
    width = len(str(found[0][1])) if found else 0
    lines = [f"  {count:>{width}}  {reason}" for reason, count in found]
    more = (
        [f"  … {len(rejections.by_reason) - MOST_NAMED} more reasons"] if len(rejections.by_reason) > MOST_NAMED else []
    )
    return ["left out (rows of rejected.parquet):", *lines, *more] if lines else []


def spelling(selection: Selection, tally: Tally) -> list[str]:
    """Return the spellings that were read as one, and the names that look alike."""
    counts: Counter[str] = Counter()
    for (_, category), count in tally.categories.items():
        counts[category] += count
    one = [f"{short(name)} = {_counted(others)}" for name, others in selection.spellings.items()]
    alike = [
        f"{_counted({word: selection.unwanted[word] or counts[word]})} and {_counted({meant: counts[meant]})}"
        for word, meant in selection.alike.items()
    ]
    return [
        *([f"read as one class: {'; '.join(one[:MOST_NAMED])}"] if one else []),
        *([f"look alike (labels.rename merges them): {'; '.join(alike[:MOST_NAMED])}"] if alike else []),
    ]


def unmatched(classes: Sequence[str], tally: Tally, selection: Selection) -> list[str]:
    """Return the classes of the recipe without any instance, and the names that the recipe doesn't want."""
    found = {category for _, category in tally.categories}
    absent = [short(category) for category in classes if category not in found]
    return [
        *([f"nothing found for: {', '.join(absent)}"] if absent else []),
        *([f"not among labels.categories: {_counted(selection.unwanted)}"] if selection.unwanted else []),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    """Return names with their counts, the most frequent first."""
    found = Counter(counts).most_common(MOST_NAMED)
    more = [f"… {len(counts) - MOST_NAMED} more"] if len(counts) > MOST_NAMED else []
    return ", ".join([*(f"{short(name)} ({count})" for name, count in found), *more])


def short(name: str) -> str:
    """Return a name as long as the terminal shows it."""
    return shown(name, LONGEST_NAME)
