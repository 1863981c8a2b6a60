"""Splits: their names, and what the path of an image or label file says of them."""

import re
from collections.abc import Sequence

from pipeline.instances.tables import Split

JOINT = "__"
"""Between the folders and the base name in a flat name."""

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_of(parts: Sequence[str]) -> Split | None:
    """Return the split that the nearest of an image's folders names; `parts` are the folders, outermost first."""
    named = (SPLIT_FOLDERS[part.lower()] for part in reversed(parts) if part.lower() in SPLIT_FOLDERS)
    return next(named, None)


def split_in_path(parts: Sequence[str]) -> str | None:
    """Return train, val or test where a file's name has the word, or a folder that name: the nearest that says one.

    `det_val.json` and `val/labels.json` are of val; `test_drive/labels.json` is of no split.
    """
    for depth, part in enumerate(reversed(parts)):
        is_file = not depth or part.lower().endswith(".zip")
        words = re.split(r"[^a-z]+", part.lower()) if is_file else [part.lower()]
        said = {SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS}
        if len(said) == 1:
            return said.pop()
    return None
