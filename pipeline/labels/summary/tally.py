"""Counts of what `filtered_labels` wrote."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from pipeline.instances.tables import LABELS_FILE, read_table
from pipeline.labels.splits import LabelledImage


@dataclass(frozen=True)
class Tally:
    """Counts of the images and instances that were written."""

    images: Mapping[str, int]
    """By split."""
    without_instances: Mapping[str, int]
    """Images by split."""
    categories: Counter[tuple[str, str]]
    """Instances by (split, category)."""
    geometries: Counter[str]
    flags: Counter[str]
    """Crowd and ignored instances."""


def tally_of(out: Path, members: Mapping[str, Sequence[LabelledImage]]) -> Tally:
    """Count what is in the tables in `out`, and the images of each split."""
    labels = read_table(out / LABELS_FILE, "filtered_labels", ["split", "category", "geometry", "crowd", "ignored"])
    return Tally(
        images={split: len(images) for split, images in members.items()},
        without_instances={split: sum(not image.count for image in images) for split, images in members.items()},
        categories=Counter(zip(labels["split"].to_pylist(), labels["category"].to_pylist(), strict=True)),
        geometries=Counter(labels["geometry"].to_pylist()),
        flags=Counter({flag: pc.sum(labels[flag]).as_py() or 0 for flag in ("crowd", "ignored")}),
    )
