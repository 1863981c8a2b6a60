"""Names of pictures that are safe in any folder, and of which no two are the same."""

from collections.abc import Sequence
from itertools import count
from os import fsencode
from pathlib import PurePosixPath

from pipeline.files.atomic import LONGEST_NAME

UNSAFE = frozenset('/\\:*?"<>|')
"""Letters that a path, a command line, or a file system of another computer takes for something else."""


def distinct_names(names: Sequence[str], by_stem: bool = False) -> list[str]:
    """Return the names of pictures made safe, and numbered where two are the same but for the case of letters.

    With `by_stem` the ending is no difference, and that of `.jfif`, which ultralytics passes over, is `.jpg`.
    """
    used: set[str] = set()
    found = []
    for name in map(_safe, names):
        path = PurePosixPath(name)
        suffix = ".jpg" if by_stem and path.suffix.lower() == ".jfif" else path.suffix
        stems = (path.stem if not number else f"{path.stem}_{number}" for number in count())
        keys = ((stem, (stem if by_stem else stem + suffix).casefold()) for stem in stems)
        stem, key = next((stem, key) for stem, key in keys if key not in used)
        used.add(key)
        found.append(stem + suffix)
    return found


def _safe(name: str) -> str:
    """Return a name without letters that mean something, no dot at its start, and no longer than files may be."""
    clean = "".join(
        "_" if letter in UNSAFE or not (letter.isprintable() or letter == " ") else letter for letter in name
    )
    clean = f"_{clean.lstrip('.')}" if clean.startswith(".") else clean
    path = PurePosixPath(clean)
    stem = path.stem
    while len(fsencode(stem + path.suffix)) > LONGEST_NAME and stem:
        stem = stem[:-1]
    return stem + path.suffix[:LONGEST_NAME]
