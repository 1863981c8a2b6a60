"""BDD100K's score of instance segmentation, as its toolkit computes it (`bdd100k.eval.ins_seg`, version 1.0.1).

It differs from COCO's in three things. Masks don't overlap: labels are painted into one map in the order of the label
file, detections by rising score, so that the upper one has a pixel. A detection takes the instance of the largest IoU,
whether it counts or not. A crowd that is not ignored counts, and may be found more than once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.detections import JudgedImage, Rle
from pipeline.evaluation.measures.matches import (
    AREAS,
    IOUS,
    Bools,
    Floats,
    ImageMatches,
    Ints,
    MatchTable,
    joined,
    outside,
)
from pipeline.evaluation.measures.resampling import mean, number
from pipeline.evaluation.measures.slices import IMAGE_ATTRIBUTES
from pipeline.instances.image_paths import BDD_FRAME, BDD_IMAGE

CATEGORIES = (
    "pedestrian",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "motor",
    "bicycle",
    "bike",
)
"""The eight that BDD100K judges, three of them with their names of 2018."""
IOU_75 = 5


@dataclass(frozen=True)
class BddScore:
    """BDD100K's figures, from 0 to 1 (the toolkit prints them times 100); None where no instance counts."""

    AP: float | None
    AP50: float | None
    AP75: float | None
    APs: float | None
    APm: float | None
    APl: float | None
    per_class: dict[str, float | None]
    """AP of each of the judged classes that BDD100K judges."""


def measure(images: Sequence[JudgedImage], categories: Sequence[str]) -> BddScore | None:
    """Return the score of those classes that BDD100K judges, None where there are none or no image is BDD100K's."""
    judged = [name for name in categories if name in CATEGORIES]
    if not judged or not any(_is_bdd(image) for image in images):
        return None
    table = _table(images, judged)
    whole, small, medium, large = (table.average_precision(area=area)[0] for area in range(len(AREAS)))
    parts = {"AP": whole, "AP50": whole[:, :1], "AP75": whole[:, IOU_75 : IOU_75 + 1]}
    parts |= {"APs": small, "APm": medium, "APl": large}
    figures = {name: number(float(mean(part, (0, 1)))) for name, part in parts.items()}
    return BddScore(
        **figures, per_class={name: number(float(mean(each, (0,)))) for name, each in zip(judged, whole, strict=True)}
    )


def _is_bdd(image: JudgedImage) -> bool:
    """Return whether an image has BDD100K's three attributes, or a name as BDD100K gives."""
    stem = image.record.image.rpartition(".")[0]
    named = BDD_IMAGE.fullmatch(stem) or BDD_FRAME.fullmatch(stem)
    return bool(named) or image.record.attributes.keys() >= IMAGE_ATTRIBUTES.keys()


def _table(images: Sequence[JudgedImage], categories: Sequence[str]) -> MatchTable:
    parts = [_in_image(image, categories) for image in images]
    return MatchTable(len(images), {name: joined(part[name] for part in parts) for name in categories})


def _in_image(image: JudgedImage, categories: Sequence[str]) -> dict[str, ImageMatches]:
    """Return the matches of each class in an image."""
    truth = [each for each in image.truth if each.category in categories]
    found = sorted((each for each in image.detections if each.category in categories), key=lambda each: each.score)
    size = (image.record.height, image.record.width)
    shared = _shared(size, [each.rle for each in found], [each.rle for each in truth])
    areas, truth_areas = shared[1:].sum(axis=1), shared[:, 1:].sum(axis=0)
    overlaps = shared[1:, 1:] / np.maximum(areas[:, None] + truth_areas - shared[1:, 1:], 1)
    falling = [int(k) for k in np.argsort([-each.score for each in found], kind="stable") if areas[k]]
    matches = {}
    for name in categories:
        rows = np.array([k for k in falling if found[k].category == name], np.int64)
        columns = np.array([k for k, each in enumerate(truth) if each.category == name and truth_areas[k]], np.int64)
        ignored = np.array([truth[k].ignored for k in columns], bool) | outside(truth_areas[columns])
        matched = _match(overlaps[np.ix_(rows, columns)], np.array([truth[k].crowd for k in columns], bool))
        in_ignored = np.stack([np.append(each, False)[matched] for each in ignored], axis=1)
        hit = (matched >= 0)[:, None].repeat(len(AREAS), axis=1)
        counted = ~(in_ignored | (~hit & outside(areas[rows])))
        scores = np.array([found[k].score for k in rows])
        matches[name] = ImageMatches(scores, hit & counted, counted, (~ignored).sum(axis=1))
    return matches


def _shared(size: tuple[int, int], found: Sequence[Rle], truth: Sequence[Rle]) -> Ints:
    """Return the pixels that D detections and T labels share, [D + 1, T + 1] int64; row and column 0 are no mask.

    The masks of each are painted one over the other; `size` is (height, width).
    """
    pairs = _painted(size, found) * (len(truth) + 1) + _painted(size, truth)
    shape = (len(found) + 1, len(truth) + 1)
    return np.bincount(pairs.ravel(), minlength=shape[0] * shape[1]).reshape(shape)


def _painted(size: tuple[int, int], masks: Sequence[Rle]) -> NDArray[np.int32]:
    """Return the number of the mask that is uppermost in each pixel, from 1, else 0, [height, width] int32."""
    canvas = np.zeros(size, np.int32)
    for number_of_mask, mask in enumerate(masks, 1):
        inside, (left, top) = mask.crop()
        canvas[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = number_of_mask
    return canvas


def _match(overlaps: Floats, crowd: Bools) -> Ints:
    """Return of each of D detections by falling score the instance that it takes, else -1, [10 IoU, D] int64."""
    taken = np.full((len(IOUS), len(overlaps)), -1)
    for matched, least in zip(taken, IOUS, strict=True):
        free = np.ones(overlaps.shape[1], bool)
        for k in np.flatnonzero((overlaps >= least).any(axis=1)):
            best = int(np.where(free, overlaps[k], 0.0).argmax())
            if free[best] and overlaps[k, best] >= least:
                matched[k] = best
                free[best] = crowd[best]
    return taken
