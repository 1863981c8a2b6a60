"""Labels and detections that are likeliest wrong: where a model and the labels disagree, or a model with itself.

Overlooked, badly located and swapped labels are told apart as by ObjectLab (Tkachenko et al., 2023), and a picture's
score is pooled as there, over its worst. How rare a disagreement is among those of its class is measured on the
pictures themselves, so that what the model usually misses does not stand first.
"""

# ruff: noqa: TID253 - nothing imports this module before pictures are ordered

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from pipeline.evaluation.detections import IOU, Detection, JudgedImage, Rle
from pipeline.evaluation.scores import FALLBACK

Floats = NDArray[np.float64]

SAME_SIZE = 0.5
"""Least ratio of two areas that can be the same object at different places."""
REACH = 1.0
"""Distance of their centres at most, in widths and heights of the larger one."""
LEAST_NEIGHBOURS, MOST_NEIGHBOURS, PART = 40, 400, 6
"""Instances of the same class that one is compared with: a sixth of them, within these bounds."""
PRIOR = 5
"""So many of all classes are added, which counts where a class is rare."""
UNSUPPORTED_WEIGHT, LOOSE_WEIGHT = 0.8, 0.6
"""A label alone is a weaker sign than a detection without one; a poor outline is weaker yet."""
TEMPERATURE = 0.05
"""Of pooling: the lower, the more the worst suspect of a picture counts."""


class Kind(StrEnum):
    """What may be wrong."""

    MISSING = "missing label"
    UNSUPPORTED = "label without a detection"
    MOVED = "moved label"
    RENAMED = "label of another class"
    LOOSE = "loose outline"
    UNSURE = "unsure score"
    TWO_CLASSES = "two classes for one region"
    DUPLICATE = "detected twice"


@dataclass(frozen=True)
class Suspect:
    """A label or a detection that may be wrong."""

    image: str
    instance: str
    """Id of the label; of a detection without one `detection N`, by falling score, as reports name it."""
    category: str
    kind: Kind
    score: float
    """0 … 1, the higher the likelier wrong; to be compared within a run only."""
    reason: str


@dataclass(frozen=True)
class _Pair:
    """A label and a detection that belong together, or one of them alone; positions in the image."""

    image: int
    kind: Kind | None
    """None where they agree."""
    label: int | None
    detection: int | None
    overlap: float
    """Mask IoU of the two; of a detection alone, the share of it that labels of its class cover."""


def of_labels(images: Sequence[JudgedImage]) -> list[Suspect]:
    """Return the disagreements of labels and detections, likeliest errors first."""
    pairs = [pair for number, image in enumerate(images) for pair in _pairs(number, image)]
    precision, recall = _precision(images, pairs), _rarity(images, pairs)
    found = [_suspect(images[pair.image], pair, doubt) for pair, doubt in _scored(pairs, precision, recall)]
    return _sorted(found)


def of_detections(images: Mapping[str, Sequence[Detection]], thresholds: Mapping[str, float]) -> list[Suspect]:
    """Return the detections of pictures without labels that are likeliest wrong, most of all first.

    A score is unsure near the threshold of its class, above or below. Two detections of one region can't both be right.
    """
    found: list[Suspect] = []
    for image, detections in images.items():
        least = [thresholds.get(each.category, FALLBACK) for each in detections]
        for number, (each, threshold) in enumerate(zip(detections, least, strict=True)):
            reason = f"{_named(each)}, near the threshold {threshold:.2f}"
            score = _unsure(each.score, threshold)
            found.append(Suspect(image, _id(number), each.category, Kind.UNSURE, score, reason))
        found += _conflicts(image, detections, least)
    return _sorted(found)


def pooled(suspects: Sequence[Suspect]) -> dict[str, float]:
    """Return the score of each image that has suspects: the mean of theirs, the worst weighted most (softmax)."""
    by_image: defaultdict[str, list[float]] = defaultdict(list)
    for each in suspects:
        by_image[each.image].append(each.score)
    return {image: _softmax_mean(np.array(scores)) for image, scores in by_image.items()}


def _softmax_mean(scores: Floats) -> float:
    weights = np.exp((scores - scores.max()) / TEMPERATURE)
    return float((weights * scores).sum() / weights.sum())


def _sorted(suspects: list[Suspect]) -> list[Suspect]:
    return sorted(suspects, key=lambda each: (-each.score, each.image, each.instance))


def _pairs(number: int, image: JudgedImage) -> list[_Pair]:
    """Pair the labels and detections of an image: of one class, then of two at one place, then of one, moved."""
    overlaps = image.overlaps
    counted = np.array([not truth.neutral for truth in image.truth], bool)
    same = _same_class(image)
    at_one_place = (overlaps >= IOU) & counted
    nearness = np.where(same & counted, _nearness(image), 0.0)
    labels, detections = set(np.flatnonzero(counted).tolist()), set(range(len(image.detections)))
    found: list[_Pair] = []
    rounds = (None, np.where(same & at_one_place, overlaps, 0)), (Kind.RENAMED, np.where(at_one_place, overlaps, 0))
    for kind, value in (*rounds, (Kind.MOVED, nearness)):
        rows, columns = np.nonzero(value)
        for best in np.argsort(-value[rows, columns], kind="stable").tolist():
            detection, label = int(rows[best]), int(columns[best])
            if detection in detections and label in labels:
                detections.discard(detection)
                labels.discard(label)
                found.append(_Pair(number, kind, label, detection, float(overlaps[detection, label])))
    covered = np.where(same, np.maximum(overlaps, _covered(image)), 0).max(axis=1, initial=0)
    found += [_Pair(number, Kind.MISSING, None, each, float(covered[each])) for each in sorted(detections)]
    return found + [_Pair(number, Kind.UNSUPPORTED, each, None, 0.0) for each in sorted(labels)]


def _same_class(image: JudgedImage) -> NDArray[np.bool_]:
    """Say of D detections and T labels whether their classes are the same, [D, T] bool."""
    detected = np.array([each.category for each in image.detections], object)
    labelled = np.array([each.category for each in image.truth], object)
    return np.asarray(detected[:, None] == labelled[None, :], bool)


def _covered(image: JudgedImage) -> Floats:
    """Return the share of each of D detections that each of T labels covers, [D, T]."""
    if not image.detections or not image.truth:
        return np.zeros((len(image.detections), len(image.truth)))
    found, labelled = ([each.rle.coco for each in part] for part in (image.detections, image.truth))
    return np.asarray(coco_mask.iou(found, labelled, [1] * len(labelled)), np.float64)


def _nearness(image: JudgedImage) -> Floats:
    """Return how near D detections and T labels of about one size are, [D, T] in 0 … 1, 1 at one place, 0 beyond."""
    found, labelled = _places(image.detections), _places(image.truth)
    sides = np.maximum(np.maximum(found[:, None, 2:4], labelled[None, :, 2:4]), 1)
    distance = (np.abs(found[:, None, :2] - labelled[None, :, :2]) / sides).max(axis=2, initial=0)
    areas = found[:, None, 4], labelled[None, :, 4]
    is_similar = np.minimum(*areas) >= SAME_SIZE * np.maximum(*areas)
    return np.where(is_similar & (distance < REACH), 1 - distance / REACH, 0.0)


def _places(shapes: Sequence[Detection] | Sequence[object]) -> Floats:
    """Return centre x, centre y, width, height and area of masks, [N, 5], in pixels."""
    masks: list[Rle] = [shape.rle for shape in shapes]  # type: ignore[attr-defined]
    rows = [
        (box.x + box.width / 2, box.y + box.height / 2, box.width, box.height, mask.area)
        for mask, box in ((mask, mask.box) for mask in masks)
    ]
    return np.array(rows, np.float64).reshape(-1, 5)


def _precision(images: Sequence[JudgedImage], pairs: Sequence[_Pair]) -> dict[tuple[int, int], float]:
    """Return for each detection how often those of its class and about its score agree with a label."""
    agree = {(pair.image, pair.detection): pair.kind is None for pair in pairs if pair.detection is not None}
    usual = float(np.mean(list(agree.values()))) if agree else 0.0
    shares: dict[tuple[int, int], float] = {}
    for keys in _by_class({key: images[key[0]].detections[key[1]].category for key in agree}):
        scores = np.array([images[image].detections[place].score for image, place in keys])
        values = np.array([agree[key] for key in keys], np.float64)
        shares |= dict(
            zip(keys, _share_above(scores, values, np.full(len(keys), 0.5), np.full(len(keys), usual)), strict=True)
        )
    return shares


def _rarity(images: Sequence[JudgedImage], pairs: Sequence[_Pair]) -> dict[tuple[int, int], float]:
    """Return for each label how often those of its class and about its size are met better by their detections."""
    met = {
        (pair.image, pair.label): 0.0 if pair.kind in (Kind.RENAMED, Kind.UNSUPPORTED) else pair.overlap
        for pair in pairs
        if pair.label is not None
    }
    usual = float(np.mean([overlap >= IOU for overlap in met.values()])) if met else 0.0
    shares: dict[tuple[int, int], float] = {}
    for keys in _by_class({key: images[key[0]].truth[key[1]].category for key in met}):
        areas = np.array([images[image].truth[place].rle.area for image, place in keys], np.float64)
        overlaps = np.array([met[key] for key in keys])
        least = np.where(overlaps > 0, overlaps, np.nextafter(IOU, 0))
        expected = np.where(overlaps < IOU, usual, 0.5)  # half of those that are met are met better
        shares |= dict(zip(keys, _share_above(areas, overlaps, least, expected), strict=True))
    return shares


def _by_class(categories: Mapping[tuple[int, int], str]) -> list[list[tuple[int, int]]]:
    groups: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for key, category in categories.items():
        groups[category].append(key)
    return list(groups.values())


def _share_above(places: Floats, values: Floats, limits: Floats, usual: Floats) -> Floats:
    """Return for each of N things the share of its neighbours by `places` whose value is above its limit, [N].

    The thing itself is left out; `PRIOR` neighbours are as `usual`.
    """
    count = len(places)
    neighbours = min(max(LEAST_NEIGHBOURS, count // PART), MOST_NEIGHBOURS, count - 1)
    order = np.argsort(places, kind="stable")
    ordered = values[order]
    shares = np.empty(count)
    for rank, each in enumerate(order.tolist()):
        first = min(max(rank - neighbours // 2, 0), count - 1 - neighbours)
        above = ordered[first : first + neighbours + 1] > limits[each]
        shares[each] = above.sum() - (values[each] > limits[each])
    return (shares + PRIOR * usual) / (neighbours + PRIOR)


def _scored(
    pairs: Sequence[_Pair], precision: Mapping[tuple[int, int], float], recall: Mapping[tuple[int, int], float]
) -> list[tuple[_Pair, float]]:
    scored = []
    for pair in pairs:
        right = precision[pair.image, pair.detection] if pair.detection is not None else 0.0
        met = recall[pair.image, pair.label] if pair.label is not None else 0.0
        scored.append((pair, _score(pair, right, met)))
    return scored


def _score(pair: _Pair, right: float, met: float) -> float:
    """Return how likely an error is, from how often such detections are right and such labels are met better.

    A label and a detection that don't agree are two witnesses: the doubts of both are multiplied.
    """
    match pair.kind:
        case Kind.MISSING:
            return right * (1 - pair.overlap)
        case Kind.UNSUPPORTED:
            return UNSUPPORTED_WEIGHT * met
        case Kind.RENAMED:
            return 1 - (1 - right) * (1 - met)
        case Kind.MOVED:  # the more they overlap, the likelier the model's own outline is poor
            return (1 - (1 - right) * (1 - met)) * (1 - pair.overlap**2)
        case _:
            return LOOSE_WEIGHT * met


def _suspect(image: JudgedImage, pair: _Pair, score: float) -> Suspect:
    truth = image.truth[pair.label] if pair.label is not None else None
    detection = image.detections[pair.detection] if pair.detection is not None else None
    instance = truth.instance if truth else _id(pair.detection or 0)
    category = truth.category if truth else detection.category if detection else ""
    seen, kind = _named(detection) if detection else "", pair.kind or Kind.LOOSE
    reason = {
        Kind.MISSING: f"{seen} without a label",
        Kind.UNSUPPORTED: f"label {category} that nothing supports",
        Kind.RENAMED: f"{seen} labelled {category}",
        Kind.MOVED: f"{seen} beside its label",
        Kind.LOOSE: f"label {category} overlaps {seen} by {pair.overlap:.2f}",
    }[kind]
    return Suspect(image.record.image, instance, category, kind, score, reason)


def _conflicts(image: str, detections: Sequence[Detection], least: Sequence[float]) -> list[Suspect]:
    """Return a suspect for each two detections of one region: certain where both reach their thresholds."""
    if len(detections) < 2:
        return []
    masks = [each.rle.coco for each in detections]
    overlaps = np.triu(np.asarray(coco_mask.iou(masks, masks, [0] * len(masks))), 1)
    found = []
    for first, second in np.argwhere(overlaps >= IOU).tolist():
        one, other = detections[first], detections[second]
        kind = Kind.DUPLICATE if one.category == other.category else Kind.TWO_CLASSES
        score = min(
            1.0, *(each.score / max(limit, 1e-6) for each, limit in ((one, least[first]), (other, least[second])))
        )
        reason = f"{_named(one)} and {_named(other)} for one region"
        found.append(Suspect(image, _id(second), other.category, kind, score, reason))
    return found


def _unsure(score: float, threshold: float) -> float:
    """Return 1 at the threshold, 0 at scores 0 and 1, and what lies on the lines between."""
    if score >= threshold:
        return (1 - score) / (1 - threshold) if threshold < 1 else 1.0
    return score / threshold


def _named(detection: Detection) -> str:
    return f"{detection.category} {detection.score:.2f}"


def _id(number: int) -> str:
    return f"detection {number + 1}"
