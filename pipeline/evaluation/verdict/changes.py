"""What a report was made from that another was not, by the artifacts up the chain."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.artifacts import MANIFEST, Artifact, Manifest
from pipeline.artifacts.lineage import inputs

SPLIT = "train"
"""The split that a model learns from."""
MOST = 8
"""Changes that are listed; more are counted."""
LONGEST = 40
"""Letters of a value that are shown."""

Artifacts = dict[str, tuple[Path, Manifest]]
"""Folder and manifest of each artifact that a report was made from, by stage."""


def between(before: Path, after: Path, most: int | None = MOST) -> list[str]:
    """Return a phrase for each change from one artifact's folder to the other: keys of the recipe, data, sources, code.

    The artifacts that it was made from lie beside it in the store; what is gone is named, and not compared. Changes
    over `most` are counted.
    """
    old, old_gone = _chain(before)
    new, new_gone = _chain(after)
    found = [*_recipe_keys(old, new), *_data(old, new), *_sources_and_code(old, new)]
    gone = sorted(old_gone | new_gone)
    found += [f"{', '.join(gone)} no longer there to compare"] if gone else []
    return found if most is None or len(found) <= most else [*found[:most], f"{len(found) - most} more changes"]


def _chain(report: Path) -> tuple[Artifacts, set[str]]:
    """Return what a report was made from, itself included, and the stages whose artifacts are gone."""
    report = report.resolve()
    chain: Artifacts = {}
    gone: set[str] = set()
    waiting = [Artifact(report.parent.name, report.name, report)]
    while waiting:
        each = waiting.pop()
        if each.name in chain or each.name in gone:
            continue
        if (each.folder / MANIFEST).exists():
            chain[each.name] = (each.folder, Manifest.read(each.folder))
            waiting += inputs(each.folder)
        else:
            gone.add(each.name)
    return chain, gone


def _changed(old: Artifacts, new: Artifacts) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield the stages of which both have another artifact, with its two manifests."""
    for stage in sorted(old.keys() & new.keys()):
        before, after = old[stage][1], new[stage][1]
        if before.fingerprint != after.fingerprint:
            yield stage, before, after


def _recipe_keys(old: Artifacts, new: Artifacts) -> list[str]:
    """Return `learning rate 0.003 → 0.002` for each key that differs, once, however many stages read it."""
    phrases = {}
    for _, before, after in _changed(old, new):
        for key in sorted(before.recipe.keys() | after.recipe.keys()):
            values = [manifest.recipe.get(key) for manifest in (before, after)]
            if values[0] != values[1]:
                name = key.removeprefix("training.").replace("_", " ")
                phrases[key] = f"{name} {_short(values[0])} → {_short(values[1])}"
    return list(phrases.values())


def _data(old: Artifacts, new: Artifacts) -> list[str]:
    """Return how many training images are new, gone, or labelled anew."""
    folders = [each["filtered_labels"][0] for each in (old, new) if "filtered_labels" in each]
    if len(folders) < 2 or folders[0] == folders[1]:
        return []
    before, after = map(_training_labels, folders)
    relabelled = sum(before[image] != after[image] for image in before.keys() & after.keys())
    counts = {
        "new images": len(after.keys() - before.keys()),
        "images gone": len(before.keys() - after.keys()),
        "images labelled anew": relabelled,
    }
    return [
        f"{count:,} {what if count > 1 else what.replace('images', 'image')}" for what, count in counts.items() if count
    ]


def _training_labels(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """Return the category and the box of every instance of each training image."""
    images = pq.read_table(folder / "images.parquet", columns=["image", "split"]).to_pylist()
    labels = defaultdict(list)
    for row in pq.read_table(folder / "labels.parquet", columns=["image", "category", "box"]).to_pylist():
        labels[row["image"]].append((row["category"], str(row["box"])))
    return {row["image"]: sorted(labels[row["image"]]) for row in images if row["split"] == SPLIT}


def _sources_and_code(old: Artifacts, new: Artifacts) -> Iterator[str]:
    for stage, before, after in _changed(old, new):
        keys = before.identities.keys() | after.identities.keys()
        count = sum(before.identities.get(key) != after.identities.get(key) for key in keys)
        if count:
            yield f"{count} changed {'source' if count == 1 else 'sources'} of {stage}"
        if before.code_version != after.code_version:
            yield f"code of {stage} {before.code_version} → {after.code_version}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
