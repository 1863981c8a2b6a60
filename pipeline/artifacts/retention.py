"""What of the store is removed: artifacts that nothing kept was made from, builds that died, unused downloads.

An artifact is kept that is among the newest of its stage and recipe name, the one used last, released, or in use by a
living process (`usage`); and so is all that a kept one was made from.
"""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import LATEST, PARTIAL, Store, can_be_resumed, usage
from pipeline.artifacts.lineage import inputs, recipe_name
from pipeline.artifacts.released import all_released
from pipeline.errors import ArtifactError
from pipeline.files import DOWNLOADS
from pipeline.running import locks
from pipeline.stages import STAGES, Stage

KEEP, DAYS = 5, 7.0
ASIDE = ".removed-"
"""How a folder is called while its files are removed, so that nobody takes half of one for a whole one."""
LOCK = re.compile(r"\.lock-([0-9a-f]{16})")
RUNNING = ".lock-prune"
A_DAY = 86_400

Links = Counter[tuple[int, int]]
"""How many names of a file (by its device and inode) have been removed."""


@dataclass(frozen=True)
class Removal:
    """A folder that is removed."""

    path: Path
    why: str
    freed: int
    """Bytes; of a file with several names (hard links), they are freed with the last one."""


def prune(store: Store, keep: int = KEEP, days: float = DAYS, dry_run: bool = False) -> list[Removal]:
    """Remove what isn't needed; return it, the largest first. With `dry_run`, nothing is removed.

    Args:
        store: where.
        keep: how many artifacts of each stage and recipe name are kept at least.
        days: how long a state to resume from, and a download that no artifact holds, are kept.
        dry_run: whether to look only.

    Raises:
        ArtifactError: `keep` is less than 1, or there is no store.
    """
    if not store.root.is_dir():
        raise ArtifactError(f"{store.root}: there is no such folder; name the store's by --data or BDD_DATA_DIR")
    if keep < 1:
        raise ArtifactError(f"keep: {keep} is less than 1; the artifact that was used last is always kept")
    with locks.held(store.root / RUNNING, "another prune"):
        with usage.locked(store.root):
            used = usage.in_use(store.root)
            removals = sorted(_plan(store, keep, days, used), key=lambda removal: -removal.freed)
            if dry_run:
                return removals
            aside = [_put_aside(removal.path) for removal in removals]
            _remove_litter(store, used)
        for folder in aside:
            shutil.rmtree(folder)
    return removals


def _plan(store: Store, keep: int, days: float, used: set[str]) -> Iterator[Removal]:
    links: Links = Counter()
    kept = _kept(store, keep, used)
    for stage in STAGES.values():
        for artifact in store.complete(stage):
            if artifact.path not in kept:
                name = recipe_name(artifact.folder)
                why = f"{keep} newer ones{f' of recipe {name}' if name else ''} are kept"
                yield Removal(artifact.folder, why, _freed(artifact.folder, links))
        for path, why in _left(store, stage, used, days):
            yield Removal(path, why, _freed(path, links))
    if DOWNLOADS not in used:
        yield from _downloads(store.root / DOWNLOADS, links, days)


def _kept(store: Store, keep: int, used: set[str]) -> set[str]:
    """Return the paths of the artifacts that are kept."""
    waiting = used | {artifact.path for artifact in all_released(store).values()}
    for stage in STAGES.values():
        waiting.add(f"{stage.name}/{(store.root / stage.name / LATEST).resolve().name}")
        seen: Counter[str] = Counter()
        for place, artifact in enumerate(store.complete(stage), 1):
            name = recipe_name(artifact.folder)
            seen[name] += 1
            if (seen[name] if name else place) <= keep:  # those without a name would stay for good among themselves
                waiting.add(artifact.path)
    kept: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in kept:
            kept.add(path)
            waiting |= {each.path for each in inputs(store.root / path)}
    return kept


def _left(store: Store, stage: Stage, used: set[str], days: float) -> Iterator[tuple[Path, str]]:
    """Yield what builds and prunes of a stage left that did not come to their end, and why it is removed."""
    folder = store.root / stage.name
    for path in sorted(folder.glob(f"{ASIDE}*")):
        yield path, "left by a prune that was stopped"
    for path in sorted(folder.glob(f"{PARTIAL}*")):
        fingerprint = path.name.removeprefix(PARTIAL)
        if f"{stage.name}/{fingerprint}" in used or locks.is_held(folder / f".lock-{fingerprint}"):
            continue
        if not can_be_resumed(stage, path):
            yield path, "its build has ended without it"
        elif _age(path) >= days:
            yield path, f"nobody has resumed it for {days:g} days"


def _downloads(folder: Path, links: Links, days: float) -> Iterator[Removal]:
    """Yield the downloads, whole ones and parts, that no artifact holds once the `links` are removed."""
    for path in sorted(each for each in folder.glob("*") if each.is_dir()):
        facts = [each.lstat() for each in files(path)]
        held = any(each.st_nlink - links[each.st_dev, each.st_ino] > 1 for each in facts)
        if path.name.startswith(ASIDE) or (not held and _age(path) >= days):
            yield Removal(path, "a download that no artifact holds", _freed(path, links))


def files(path: Path) -> Iterator[Path]:
    """Yield the files in a folder, without links."""
    return (each for each in path.rglob("*") if each.is_file() and not each.is_symlink())


def _age(path: Path) -> float:
    """Return the days since the last file in `path` was written."""
    times = [each.lstat().st_mtime for each in (path, *files(path))]
    return (time.time() - max(times)) / A_DAY


def _freed(path: Path, links: Links) -> int:
    """Count the files of `path` in `links`; return the bytes that are freed when it is removed after what was there."""
    freed = 0
    for file in files(path):
        facts = file.lstat()
        file_id = facts.st_dev, facts.st_ino
        links[file_id] += 1
        freed += facts.st_size * (links[file_id] >= facts.st_nlink)
    return freed


def _put_aside(path: Path) -> Path:
    if path.name.startswith(ASIDE):
        return path
    return path.rename(path.with_name(f"{ASIDE}{time.time_ns()}-{path.name}"))


def _remove_litter(store: Store, used: set[str]) -> None:
    """Remove lock files that nobody holds or is about to hold, and links of processes killed while they made `latest`.

    Who builds an artifact uses it before it locks.
    """
    for stage in STAGES.values():
        for path in (store.root / stage.name).glob(".lock-*"):
            found = LOCK.fullmatch(path.name)
            if found and f"{stage.name}/{found[1]}" not in used and not locks.is_held(path):
                path.unlink()
        for path in (store.root / stage.name).glob(f".{LATEST}-*"):
            if time.time() - path.lstat().st_mtime > A_DAY:
                path.unlink()
