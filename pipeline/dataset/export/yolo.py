"""Segmentation labels as ultralytics reads them: `labels/<split>/<stem>.txt`, a line an instance, and `data.yaml`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from pipeline.dataset.export.exported import Count, Exported, Picture, instances_inside
from pipeline.dataset.export.outlines import joined, plain_rings
from pipeline.running.progress import Progress

DECIMALS = 7
"""Of a picture's width or height."""


def write(exported: Exported, folder: Path, final: Path, bar: Progress) -> None:
    """Write a file for each picture, empty where it has no instance, and data.yaml, which names the folder `final`.

    A line is the class, from 0, and x and y of each vertex as shares of width and height. It holds one polygon, so that
    those of an instance are joined. Crowds and regions to ignore are left out and counted.
    """
    for split, pictures in exported.splits.items():
        labels = folder / "labels" / split
        labels.mkdir(parents=True)
        for picture in bar.over(pictures):
            (labels / f"{Path(picture.name).stem}.txt").write_text("".join(_lines(exported, picture)), "utf-8")
    described = {
        "path": str(final.resolve()),
        **{split: f"images/{split}" for split in exported.splits},
        "names": dict(enumerate(exported.classes)),
    }
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    moved = "# Without `path`, the folders count from this file: take it out to use the data set elsewhere.\n"
    (folder / "data.yaml").write_text(moved + text, "utf-8")


def _lines(exported: Exported, picture: Picture) -> Iterator[str]:
    record = picture.record
    for instance, rings in instances_inside(picture, exported.counts):
        if instance.crowd or instance.ignored:
            exported.counts[Count.NO_REGIONS] += 1
            continue
        exported.count(instance)
        ring = joined(plain_rings(rings, record.height, record.width)) / (record.width, record.height)
        numbers = " ".join(f"{share:.{DECIMALS}g}" for share in np.round(ring, DECIMALS).ravel().tolist())
        yield f"{exported.classes.index(instance.category)} {numbers}\n"
