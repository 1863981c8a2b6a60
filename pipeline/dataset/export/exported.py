"""What is exported, in all forms alike: pictures under the names that they get, classes, and counts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from mrcnn.shapes import polygons
from pipeline.dataset.images_zip import ImageRecord
from pipeline.geometry.polygon import Ring
from pipeline.labels.classes import Instance


class Count(StrEnum):
    """What is counted while labels are written, in words that a number follows."""

    WRITTEN = "instances written"
    REGIONS = "of these crowds and regions to ignore (iscrowd)"
    BOXES = "of these boxes, of which no outline is known"
    OUTSIDE = "instances left out, outside of their pictures"
    NO_REGIONS = "crowds and regions to ignore left out, where YOLO now learns that nothing is"


@dataclass(frozen=True)
class Picture:
    """A picture under the name that it is written by."""

    name: str
    record: ImageRecord


@dataclass(frozen=True)
class Exported:
    """The pictures of each split, the classes in their order, and what was counted while their labels were written."""

    archive: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[Picture, ...]]
    counts: Counter[Count]

    def count(self, instance: Instance[Ring]) -> None:
        """Count an instance that is written."""
        self.counts[Count.WRITTEN] += 1
        self.counts[Count.BOXES] += instance.geometry == "box"


def instances_inside(picture: Picture, counts: Counter[Count]) -> Iterator[tuple[Instance[Ring], list[Ring]]]:
    """Yield each instance with the parts of its rings inside the picture; those that have none are counted."""
    record = picture.record
    for instance in record.instances:
        clipped = polygons.clipped(instance.rings, (0, 0, record.height, record.width))
        rings = [ring.astype(np.float64) for ring in clipped]
        if rings:
            yield instance, rings
        else:
            counts[Count.OUTSIDE] += 1
