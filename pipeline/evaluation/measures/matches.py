"""Which detection finds which labelled instance by COCO's rule, and average precision of images that have weights.

COCO's evaluation gives one figure for one set of images. Here the images are matched once, and average precision is
taken of any weights of them: of a part (weights 0 and 1), or of resamples (how often each image was drawn).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.detections import Detection, JudgedImage, Truth

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = np.array([(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)])
"""COCO's areas in square pixels, both ends included: all, small, medium, large."""
AT_ONCE = 1 << 16
"""Detections times weights that are worked on at a time: half a megabyte an array, which stays in the cache."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassMatches:
    """The D detections of a class in I images by falling score, judged at 10 IoU thresholds and for 4 areas."""

    image: Ints
    """[D] int64, the position of each one's image."""
    scores: Floats
    """[D] float64."""
    right: Bools
    """[10, 4, D] bool, whether it finds an instance that counts."""
    counted: Bools
    """[10, 4, D] bool, whether it is right or false; else it lies in a neutral region, or is of another area."""
    instances: Ints
    """[4, I] int64, the labelled instances that count."""

    def of_images(self, positions: Ints) -> Self:
        """Return the matches in the images at `positions`, numbered anew."""
        place = np.full(self.instances.shape[1], -1)
        place[positions] = np.arange(len(positions))
        kept = place[self.image] >= 0
        return replace(
            self,
            image=place[self.image[kept]],
            scores=self.scores[kept],
            right=self.right[..., kept],
            counted=self.counted[..., kept],
            instances=self.instances[:, positions],
        )


@dataclass(frozen=True)
class MatchTable:
    """All classes of the same images."""

    images: int
    classes: dict[str, ClassMatches]

    @classmethod
    def of(cls, images: Sequence[JudgedImage], categories: Sequence[str]) -> Self:
        """Match the detections of all images."""
        parts = [_in_image(image) for image in images]
        return cls(len(images), {name: joined(part.get(name, NOTHING) for part in parts) for name in categories})

    def of_images(self, positions: Ints) -> Self:
        """Return the table of the images at `positions`."""
        parts = {name: matches.of_images(positions) for name, matches in self.classes.items()}
        return replace(self, images=len(positions), classes=parts)

    def average_precision(self, weights: Ints | None = None, area: int = 0) -> Floats:
        """Return COCO's average precision, [R, classes, 10 IoU] float64; NaN where no instance counts.

        `weights`, [R, I] int64, says how often each image is there; by default once. `area` is a position in AREAS.
        """
        given = np.ones((1, self.images), np.int64) if weights is None else weights
        parts = [average_precision(matches, given, area) for matches in self.classes.values()]
        return np.stack(parts, axis=1) if parts else np.empty((len(given), 0, len(IOUS)))


def average_precision(matches: ClassMatches, weights: Ints, area: int = 0) -> Floats:
    """Return the average precision of a class, [R, 10 IoU] float64, for `weights` [R, I] int64."""
    instances = weights @ matches.instances[area]
    rows = max(1, AT_ONCE // max(1, len(matches.image)))
    starts = range(0, len(weights), rows)
    parts = [
        _precisions(matches, weights[start : start + rows], instances[start : start + rows], area) for start in starts
    ]
    return np.concatenate(parts)


def _precisions(matches: ClassMatches, weights: Ints, instances: Ints, area: int) -> Floats:
    drawn = weights[:, matches.image]
    found = np.full((len(weights), len(matches.right)), np.nan)
    measured = instances > 0
    for position, (right, counted) in enumerate(zip(matches.right[:, area], matches.counted[:, area], strict=True)):
        if not position or (counted != matches.counted[position - 1, area]).any():
            accepted = np.cumsum(drawn * counted, axis=1)
        hits = np.cumsum(drawn[:, right], axis=1)
        precision = hits / np.maximum(accepted[:, right], 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, hits / np.maximum(instances, 1)[:, None], side="right")
        found[:, position] = (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    found[~measured] = np.nan
    return found


@dataclass(frozen=True)
class ImageMatches:
    """The D detections of a class in one image by falling score."""

    scores: Floats
    right: Bools
    """[10, 4, D] bool, as in ClassMatches, `counted` too."""
    counted: Bools
    instances: Ints
    """[4] int64."""


def joined(parts: Iterable[ImageMatches]) -> ClassMatches:
    """Return the matches of a class in several images, numbered in this order."""
    images = list(parts)
    image = np.repeat(np.arange(len(images)), [len(part.scores) for part in images])
    scores = np.concatenate([part.scores for part in images])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([part.right for part in images], axis=-1)[..., order]
    counted = np.concatenate([part.counted for part in images], axis=-1)[..., order]
    instances = np.stack([part.instances for part in images], axis=1)
    return ClassMatches(image[order], scores[order], right, counted, instances)


def outside(areas: Sequence[int] | Ints) -> Bools:
    """Return which of N masks of so many pixels are not of each area, [4, N] bool."""
    pixels = np.array(areas, np.float64)
    return (pixels < AREAS[:, :1]) | (pixels > AREAS[:, 1:])


NOTHING = ImageMatches(
    np.zeros(0),
    np.zeros((len(IOUS), len(AREAS), 0), bool),
    np.zeros((len(IOUS), len(AREAS), 0), bool),
    np.zeros(4, np.int64),
)
"""Those of a class that is neither labelled nor detected in an image."""


def _in_image(image: JudgedImage) -> dict[str, ImageMatches]:
    """Return the matches of each class that is labelled or detected in an image."""
    found, labelled = _by_class(image.detections), _by_class(image.truth)
    return {
        name: _of_class(image, found.get(name, []), labelled.get(name, [])) for name in found.keys() | labelled.keys()
    }


def _by_class(instances: Sequence[Detection | Truth]) -> dict[str, list[int]]:
    """Return the positions of the instances of each class."""
    positions = defaultdict(list)
    for k, each in enumerate(instances):
        positions[each.category].append(k)
    return positions


def _of_class(image: JudgedImage, found: Sequence[int], labelled: Sequence[int]) -> ImageMatches:
    """Return the matches of the detections and the labelled instances at these positions."""
    neutral = np.array([image.truth[k].neutral for k in labelled], bool)
    ignored = neutral | outside([image.truth[k].rle.area for k in labelled])
    overlaps = image.overlaps[np.ix_(np.array(found, np.int64), np.array(labelled, np.int64))]
    matched, in_ignored = _match(overlaps, neutral, ignored)
    counted = ~(in_ignored | (~matched & outside([image.detections[k].rle.area for k in found])))
    scores = np.array([image.detections[k].score for k in found])
    return ImageMatches(scores, matched & counted, counted, (~ignored).sum(axis=1))


def _match(overlaps: Floats, neutral: Bools, ignored: Bools) -> tuple[Bools, Bools]:
    """Return which of D detections are matched, and with an ignored instance, both [10, 4, D] bool.

    `overlaps` [D, G], `neutral` [G], `ignored` [4, G]. By falling score each detection takes, of the instances that
    are free, the best that counts, else the best ignored one; of equals the last. A neutral region stays free.
    """
    matched, in_ignored = np.zeros((2, len(IOUS), len(AREAS), len(overlaps)), bool)
    free = np.ones((len(IOUS), *ignored.shape), bool)
    for k in np.flatnonzero((overlaps >= IOUS[0]).any(axis=1)):
        candidates = (overlaps[k] >= IOUS[:, None, None]) & (free | neutral)
        counting = candidates & ~ignored
        taken = np.where(counting.any(axis=-1, keepdims=True), counting, candidates)
        best = overlaps.shape[1] - 1 - np.where(taken, overlaps[k], -1)[..., ::-1].argmax(axis=-1)
        hit = candidates.any(axis=-1)
        matched[..., k] = hit
        in_ignored[..., k] = hit & np.take_along_axis(ignored[None], best[..., None], -1)[..., 0]
        iou, area = np.nonzero(hit)
        free[iou, area, best[iou, area]] = False
    return matched, in_ignored
