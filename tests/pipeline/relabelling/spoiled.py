"""Labels spoiled on purpose, and how many of them stand among the first suspects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from faster_coco_eval.core import mask as coco_mask

from pipeline.evaluation.detections import JudgedImage, Rle, Truth
from pipeline.relabelling import suspects

KINDS = ("dropped", "moved", "renamed")
SHARE, FIRST = 0.05, 0.1
"""Of labels or pictures: so many are spoiled, and are looked for among the first."""


@dataclass(frozen=True)
class Spoiled:
    """A label that was spoiled: its image, its instance id, how, and its mask before."""

    image: str
    instance: str
    kind: str
    before: Rle


def spoil(
    images: Sequence[JudgedImage], seed: int, one_a_picture: bool = False
) -> tuple[list[JudgedImage], list[Spoiled]]:
    """Drop, move (by 0.5 to 1 of its sides) or rename, in turn, 5 % of all labels, or one in 5 % of the pictures."""
    rng = np.random.default_rng(seed)
    labelled = [image for image in images if image.truth]
    if one_a_picture:
        chosen = rng.permutation(len(labelled))[: round(SHARE * len(images))]
        places = [(int(k), int(rng.integers(len(labelled[k].truth)))) for k in chosen]
    else:
        every = [(k, t) for k, image in enumerate(labelled) for t in range(len(image.truth))]
        places = [every[k] for k in rng.permutation(len(every))[: round(SHARE * len(every))]]
    categories = sorted({truth.category for image in images for truth in image.truth})
    changed: dict[tuple[str, int], Truth | None] = {}
    spoiled = []
    for number, (k, t) in enumerate(places):
        kind, image = KINDS[number % len(KINDS)], labelled[k]
        changed[image.record.image, t] = _changed(image.truth[t], kind, categories, rng)
        spoiled.append(Spoiled(image.record.image, f"label {t}", kind, image.truth[t].rle))
    return [_with(image, changed) for image in images], spoiled


def _with(image: JudgedImage, changed: dict[tuple[str, int], Truth | None]) -> JudgedImage:
    truths = (changed.get((image.record.image, t), truth) for t, truth in enumerate(image.truth))
    numbered = tuple(replace(truth, instance=f"label {t}") for t, truth in enumerate(truths) if truth is not None)
    return replace(image, truth=numbered)


def _changed(truth: Truth, kind: str, categories: Sequence[str], rng: np.random.Generator) -> Truth | None:
    if kind == "dropped":
        return None
    if kind == "renamed":
        return replace(truth, category=str(rng.choice([each for each in categories if each != truth.category])))
    pixels, box = truth.rle.pixels(), truth.rle.box
    rows, columns = np.nonzero(pixels)
    while True:
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1)
        y = rows + round(np.sin(angle) * distance * box.height)
        x = columns + round(np.cos(angle) * distance * box.width)
        inside = (y >= 0) & (y < pixels.shape[0]) & (x >= 0) & (x < pixels.shape[1])
        if inside.mean() >= 0.5:
            moved = np.zeros_like(pixels)
            moved[y[inside], x[inside]] = True
            return replace(truth, rle=Rle.of(moved))


def found_in_labels(images: Sequence[JudgedImage], seed: int) -> tuple[float, dict[str, float]]:
    """Return the share of spoiled labels among the first tenth of suspects (by labels), and that of each kind.

    A spoiled label is found by its own id, or by a detection at the place where it was.
    """
    given, spoiled = spoil(images, seed)
    first = suspects.of_labels(given)[: round(FIRST * sum(len(image.truth) for image in images))]
    named = {(each.image, each.instance) for each in first}
    by_name = {image.record.image: image for image in given}

    def is_found(each: Spoiled) -> bool:
        if each.kind != "dropped" and (each.image, each.instance) in named:
            return True
        detections = by_name[each.image].detections
        shown = [d for k, d in enumerate(detections) if (each.image, f"detection {k + 1}") in named]
        masks = [detection.rle.coco for detection in shown]
        return bool(masks) and bool((np.asarray(coco_mask.iou(masks, [each.before.coco], [0])) >= 0.5).any())

    hits = Counter(each.kind for each in spoiled if is_found(each))
    every = Counter(each.kind for each in spoiled)
    return hits.total() / len(spoiled), {kind: hits[kind] / every[kind] for kind in every}


def found_in_pictures(images: Sequence[JudgedImage], seed: int) -> float:
    """Return the share of pictures with one spoiled label each that stand among the first tenth of the pictures."""
    given, spoiled = spoil(images, seed, one_a_picture=True)
    scores = suspects.pooled(suspects.of_labels(given))
    first = sorted((image.record.image for image in given), key=lambda name: (-scores.get(name, 0), name))
    chosen = set(first[: round(FIRST * len(first))])
    return sum(each.image in chosen for each in spoiled) / len(spoiled)
