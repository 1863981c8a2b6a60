"""Flat names of images, unique also where case does not count."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from pipeline.instances.image_paths import JOINT

LONGEST_NAME = 200
"""Bytes; file systems stop at 255, and a person's tools may add to a name."""


def flat_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each path (source, folders, base name), unique also where case does not count.

    A base name that occurs once is kept. Paths that share one get as many of their folders before it, joined by `__`,
    as make them different: `train__0001.jpg`, `val__0001.jpg`. Names still alike get a number before the suffix.
    """
    groups = defaultdict(list)
    for at, path in enumerate(paths):
        groups[path[-1].casefold()].append(at)
    names = [""] * len(paths)
    for group in groups.values():
        for at, name in zip(group, _with_folders([paths[at] for at in group]), strict=True):
            names[at] = name
    return _numbered(names, [len(groups[path[-1].casefold()]) > 1 for path in paths])


def _with_folders(paths: list[Sequence[str]]) -> list[str]:
    depth = 1
    while True:
        names = [_joined(path[-depth:]) for path in paths]
        if len({name.casefold() for name in names}) == len(names) or depth >= max(map(len, paths)):
            return names
        depth += 1


def _joined(parts: Sequence[str]) -> str:
    name = JOINT.join(parts)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    stem, dot, suffix = parts[-1].rpartition(".")
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}{dot}{suffix}" if stem else name


def _numbered(names: list[str], changed: list[bool]) -> list[str]:
    """Number the names that are still taken; a file's own name is not changed for a joined one."""
    taken: set[str] = set()
    result = list(names)
    for at in sorted(range(len(names)), key=lambda at: changed[at]):
        stem, dot, suffix = names[at].rpartition(".")
        number = 1
        while result[at].casefold() in taken:
            number += 1
            result[at] = f"{stem}-{number}{dot}{suffix}"
        taken.add(result[at].casefold())
    return result
