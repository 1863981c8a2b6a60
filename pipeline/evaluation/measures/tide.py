"""Errors by kind as TIDE defines them, and what each kind costs of mask AP50.

Bolya et al., 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors", sections 2.2 and 2.3. Counts and
gains are those of tidecv 1.0.1 on the same files.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.detections import FALSE, IGNORED, IOU, JudgedImage
from pipeline.evaluation.measures.matches import ClassMatches, average_precision

BACKGROUND_IOU = 0.1
"""Mask IoU up to which a detection is of nothing that is labelled; TIDE's t_b. Its t_f is `IOU`."""
MEANINGS = {
    "class": "lies on an instance of another class",
    "localisation": "lies on an instance of its class, but not closely enough",
    "both": "lies loosely on an instance of another class",
    "duplicate": "lies on an instance that a better detection found",
    "background": "lies on nothing that is labelled",
    "missed": "is labelled, and no detection lies on it",
}
"""TIDE's six kinds, and what a false detection of each does (of `missed`, what an instance is)."""


@dataclass(frozen=True)
class ErrorKind:
    """How often a kind of error occurs, and by how much AP50 rises when it alone is corrected."""

    kind: str
    count: int
    AP50_gain: float | None
    """None where no instance counts."""


@dataclass(frozen=True)
class _Found:
    """A detection that counts; `kind` is "" where it is right."""

    category: str
    score: float
    kind: str = ""
    instance: tuple[int, int] | None = None
    """Of a class or localisation error, the image and instance that it lies on, where no detection found that one."""
    true_category: str = ""
    """That of the instance."""


def measure(images: Sequence[JudgedImage], categories: Sequence[str]) -> list[ErrorKind]:
    """Return TIDE's six kinds."""
    found = [each for position, image in enumerate(images) for each in _classified(position, image)]
    instances = Counter(each.category for image in images for each in image.truth if not each.neutral)
    missed = _missed(images, {each.instance for each in found})
    counts = Counter(each.kind for each in found) | Counter(missed=missed.total())
    names = [name for name in categories if instances[name]]
    before = _ap50(found, instances, names)
    after = {kind: _ap50(_corrected(found, kind), instances, names) for kind in MEANINGS if kind != "missed"}
    after["missed"] = _ap50(found, instances - missed, names)
    return [
        ErrorKind(kind, counts[kind], round(max(after[kind] - before, 0.0), 6) if names else None) for kind in MEANINGS
    ]


def _classified(position: int, image: JudgedImage) -> Iterator[_Found]:
    """Yield the detections of the image at `position` that count, each with its kind."""
    counting = np.array([not truth.neutral for truth in image.truth], bool)
    of = np.array([truth.category for truth in image.truth], object)
    taken = set(image.truth_of)
    for k, (detection, truth) in enumerate(zip(image.detections, image.truth_of, strict=True)):
        if truth == IGNORED:
            continue
        if truth != FALSE:
            yield _Found(detection.category, detection.score)
            continue
        overlaps = np.where(counting, image.overlaps[k], 0.0)
        kind, lies_on = _kind(overlaps, of == detection.category)
        if lies_on is None or lies_on in taken:
            yield _Found(detection.category, detection.score, kind)
        else:
            name = image.truth[lies_on].category
            yield _Found(detection.category, detection.score, kind, (position, lies_on), name)


def _kind(overlaps: np.ndarray, same_class: np.ndarray) -> tuple[str, int | None]:
    """Return the kind of a false detection, by TIDE's order of precedence, and the instance that it lies on.

    `overlaps` [T] float64 and `same_class` [T] bool are of the labelled instances; the instance is None for kinds that
    are corrected by leaving the detection out.
    """
    same, other = np.where(same_class, overlaps, 0.0), np.where(same_class, 0.0, overlaps)
    best_same, best_other = float(same.max(initial=0)), float(other.max(initial=0))
    if BACKGROUND_IOU <= best_same < IOU:
        return "localisation", int(same.argmax())
    if best_other >= IOU:
        return "class", int(other.argmax())
    if best_same >= IOU:
        return "duplicate", None
    return ("both" if best_other > BACKGROUND_IOU else "background"), None


def _missed(images: Sequence[JudgedImage], correctable: set[tuple[int, int] | None]) -> Counter[str]:
    """Return by class the instances that no detection found, and that no error of class or localisation lies on."""
    return Counter(
        truth.category
        for position, image in enumerate(images)
        for k, truth in enumerate(image.truth)
        if not truth.neutral and k not in image.truth_of and (position, k) not in correctable
    )


def _corrected(found: Sequence[_Found], kind: str) -> list[_Found]:
    """Return the detections with the errors of a kind corrected: made right, or left out where that is not possible.

    Of several that lie on one instance, the one with the highest score is made right.
    """
    best: dict[tuple[int, int], _Found] = {}
    for each in found:
        if (
            each.kind == kind
            and each.instance
            and each.score > (best[each.instance].score if each.instance in best else -1)
        ):
            best[each.instance] = each
    right = [_Found(each.true_category, each.score) for each in best.values()]
    return [each for each in found if each.kind != kind] + right


def _ap50(found: Sequence[_Found], instances: Mapping[str, int], names: Sequence[str]) -> float:
    """Return the mean AP50 of the classes `names`; one without instances and detections has none."""
    by_class: dict[str, list[_Found]] = defaultdict(list)
    for each in found:
        by_class[each.category].append(each)
    parts = [_class_ap50(by_class[name], instances[name]) for name in names]
    measured = [part for part in parts if part is not None]
    return sum(measured) / len(measured) if measured else 0.0


def _class_ap50(found: Sequence[_Found], instances: int) -> float | None:
    if not instances:
        return 0.0 if found else None
    ordered = sorted(found, key=lambda each: -each.score)
    right = np.array([[[not each.kind for each in ordered]]], bool)
    scores = np.array([each.score for each in ordered])
    matches = ClassMatches(
        np.zeros(len(ordered), np.int64), scores, right, np.ones_like(right), np.array([[instances]], np.int64)
    )
    return float(average_precision(matches, np.ones((1, 1), np.int64))[0, 0])
