"""What the path of an image or label file says: the split that it belongs to, the video that it is a frame of."""

import re
from collections.abc import Sequence

from pipeline.instances.tables import Split

JOINT = "__"
"""Joins the folders and the file name in a flat name."""

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

BDD_IMAGE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}")
"""Stem of a BDD image, which is the name of its video."""
BDD_FRAME = re.compile(r"(?P<video>[0-9a-f]{8}-[0-9a-f]{8})-(?P<number>\d{7})")
_NUMBERED_FRAME = re.compile(r"(?P<video>.+?)[-_. ]*(?:[-_. ]frame[-_. ]?\d+|[-_.]\d{5,7})", re.IGNORECASE)


def split_of(folders: Sequence[str]) -> Split | None:
    """Return the split that the innermost of an image's folders (outermost first) names, None if none does."""
    return next((split for folder in reversed(folders) if (split := SPLIT_FOLDERS.get(folder.lower()))), None)


def split_in_path(parts: Sequence[str]) -> str | None:
    """Return the split that a label file's name contains as a word, else that the innermost folder names.

    `det_val.json` and `val/labels.json` are of val; `test_drive/labels.json` is of no split.
    """
    for depth, part in enumerate(reversed(parts)):
        is_file = not depth or part.lower().endswith(".zip")
        words = re.split(r"[^a-z]+", part.lower()) if is_file else [part.lower()]
        splits = {SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS}
        if len(splits) == 1:
            return splits.pop()
    return None


def video_in_name(image: str) -> str | None:
    """Return the video that a frame's file name begins with, or None if the name isn't that of a frame.

    `00091078-875c1f73-0000166.jpg` is a frame of `00091078-875c1f73`; `b1c66a42-6f7d68ca.jpg` is not a frame.
    """
    stem = image.rpartition(".")[0] or image
    if BDD_IMAGE.fullmatch(stem):
        return None
    match = BDD_FRAME.fullmatch(stem) or _NUMBERED_FRAME.fullmatch(stem)
    return match["video"] if match else None
