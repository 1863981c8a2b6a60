"""Average precision of parts of what was judged: sizes of objects, classes, and images that BDD100K describes alike."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pipeline.evaluation.detections import JudgedImage
from pipeline.evaluation.measures.matches import Floats, MatchTable
from pipeline.evaluation.measures.resampling import LEAST_IMAGES, Interval, interval, mean, number, resamples

IMAGE_ATTRIBUTES = {"timeofday": "time of day", "weather": "weather", "scene": "scene"}
"""BDD100K's attributes of images, and how a person calls them."""
NOT_GIVEN = "not given"
SIZES = ("small", "medium", "large")
SMALL, MEDIUM = 32**2, 96**2
"""Pixels from which an object is no longer small, or medium."""


@dataclass(frozen=True)
class Slice:
    """A part of what was judged."""

    kind: str
    """size | class | time of day | weather | scene"""
    name: str
    images: int
    """Those in the part; of a class or a size, those with such an object."""
    instances: int
    """Labelled ones that count."""
    AP: float | None
    AP50: float | None
    interval: Interval | None
    """Of AP; None where no instance counts, or where the images are too few."""


@dataclass(frozen=True)
class _Drawn:
    """Average precision of a table."""

    found: Floats
    """[1, classes, 10 IoU] float64."""
    resampled: Floats
    """[R, classes, 10 IoU] float64; R is 0 where the images are too few."""

    @classmethod
    def of(cls, table: MatchTable, area: int = 0) -> Self:
        found = table.average_precision(area=area)
        enough = table.images >= LEAST_IMAGES and not np.isnan(found).all()
        return cls(found, table.average_precision(resamples(table.images), area) if enough else found[:0])

    def slice(self, kind: str, name: str, images: int, instances: int, classes: slice = slice(None)) -> Slice:
        """Return the slice of some of the classes."""
        found = self.found[:, classes]
        drawn = interval(mean(self.resampled[:, classes], (1, 2)))
        return Slice(
            kind, name, images, instances, number(mean(found, (1, 2))[0]), number(mean(found[..., 0], (1,))[0]), drawn
        )


def measure(images: Sequence[JudgedImage], table: MatchTable) -> list[Slice]:
    """Return the whole, of kind `all`, then its slices.

    Instances of the slices of a kind add up to the whole; so do images, by attribute.
    """
    whole = _Drawn.of(table)
    return [
        whole.slice("all", "all", len(images), _instances(table)),
        *_by_class(table, whole),
        *_by_size(images, table),
        *(each for key in IMAGE_ATTRIBUTES for each in _by_attribute(key, images, table)),
    ]


def _instances(table: MatchTable) -> int:
    return sum(int(each.instances[0].sum()) for each in table.classes.values())


def _by_class(table: MatchTable, whole: _Drawn) -> Iterator[Slice]:
    for k, (name, matches) in enumerate(table.classes.items()):
        counts = matches.instances[0]
        yield whole.slice("class", name, int((counts > 0).sum()), int(counts.sum()), slice(k, k + 1))


def _by_size(images: Sequence[JudgedImage], table: MatchTable) -> Iterator[Slice]:
    """Yield a slice a size; exactly 32² or 96² pixels are in two of COCO's areas, and are counted in the larger."""
    areas = [[each.rle.area for each in image.truth if not each.neutral] for image in images]
    sizes = [np.digitize(each, (SMALL, MEDIUM)) for each in areas]
    for k, name in enumerate(SIZES):
        counts = np.array([(each == k).sum() for each in sizes])
        yield _Drawn.of(table, k + 1).slice("size", name, int((counts > 0).sum()), int(counts.sum()))


def _by_attribute(key: str, images: Sequence[JudgedImage], table: MatchTable) -> Iterator[Slice]:
    """Yield a slice a value of an attribute, frequent values first; none where no image has the attribute."""
    values = [image.record.attributes.get(key, NOT_GIVEN) for image in images]
    counts = Counter(values)
    if counts.keys() <= {NOT_GIVEN}:
        return
    for value in sorted(counts, key=lambda each: (each == NOT_GIVEN, -counts[each], each)):
        part = table.of_images(np.flatnonzero([each == value for each in values]))
        yield _Drawn.of(part).slice(IMAGE_ATTRIBUTES[key], value, part.images, _instances(part))
