"""Which class is taken for which, background included, at mask IoU 0.5 and the classes' score thresholds.

Average precision never compares classes; this does.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.detections import JudgedImage
from pipeline.matching import IOU, Matches
from pipeline.thresholds import Threshold


def matrix(
    images: Sequence[JudgedImage],
    matches: Sequence[Matches],
    categories: Sequence[str],
    thresholds: Mapping[str, Threshold],
) -> NDArray[np.int64]:
    """Return counts, [C + 1, C + 1] int64: rows labelled, columns detected, background last in both.

    The last column counts missed instances, the last row detections of nothing. Instances are paired with
    detections of their own class first, then with others, by falling IoU. What is detected inside ignored regions
    is not counted.
    """
    ids = {name: number for number, name in enumerate(categories)}
    counts = np.zeros((len(categories) + 1, len(categories) + 1), np.int64)
    for image, matched in zip(images, matches, strict=True):
        shown = [k for k, d in enumerate(image.detections) if d.score >= thresholds[d.category].least]
        labelled = np.array([ids[truth.category] for truth in image.truth], np.int64)
        detected = np.array([ids[image.detections[k].category] for k in shown], np.int64)
        ignored = np.array([truth.ignored for truth in image.truth], bool)
        _count(counts, matched.overlaps[shown], labelled, detected, ignored)
    return counts


def _count(
    counts: NDArray[np.int64],
    overlaps: NDArray[np.float64],
    labelled: NDArray[np.int64],
    detected: NDArray[np.int64],
    ignored: NDArray[np.bool_],
) -> None:
    """Add one image: overlaps [D, T], classes of the T instances and the D detections, which instances are ignored."""
    background = len(counts) - 1
    pairs = _pairs(np.where(ignored, 0.0, overlaps), detected[:, None] == labelled[None, :])
    for detection, truth in pairs.items():
        counts[labelled[truth], detected[detection]] += 1
    for truth in set(np.flatnonzero(~ignored).tolist()) - set(pairs.values()):
        counts[labelled[truth], background] += 1
    inside_ignored = (overlaps[:, ignored] >= IOU).any(axis=1)
    for detection in set(np.flatnonzero(~inside_ignored).tolist()) - set(pairs):
        counts[background, detected[detection]] += 1


def _pairs(overlaps: NDArray[np.float64], same_class: NDArray[np.bool_]) -> dict[int, int]:
    """Return detection → instance, each used once: pairs of one class before others, larger IoU before smaller."""
    detections, truths = np.nonzero(overlaps >= IOU)
    order = np.lexsort((-overlaps[detections, truths], ~same_class[detections, truths]))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for detection, truth in zip(detections[order].tolist(), truths[order].tolist(), strict=True):
        if detection not in pairs and truth not in taken:
            pairs[detection] = truth
            taken.add(truth)
    return pairs
