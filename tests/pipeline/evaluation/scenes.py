"""Judged images of many squares at random, with the faults that detectors have, for tests of what is measured."""

import numpy as np

from pipeline.evaluation.detections import JudgedImage
from tests.pipeline.judged_images import found, judged, truth

NAMES = ("car", "bike")


def scenes(
    count: int, seed: int = 0, shift: int = 6, finds: float = 0.8, labels: int = 0, decimals: int = 2
) -> list[JudgedImage]:
    """Return `count` images; a detection is off by at most `shift` pixels, a share `finds` of the instances is found.

    `labels` seeds what is labelled: images of one such seed have the same labels.
    """
    random, labelled = np.random.default_rng([seed, 1]), np.random.default_rng([labels, 2])
    images = []
    for number in range(count):
        squares = [
            (
                NAMES[labelled.integers(2)],
                *labelled.integers(0, 150, 2).tolist(),
                int(labelled.choice([9, 30, 31, 32, 50])),
            )
            for _ in range(labelled.integers(0, 6))
        ]
        truths = [truth(*square, ignored=bool(labelled.random() < 0.15)) for square in squares]
        detections = []
        for name, x, y, side in squares:
            for _ in range(int(random.random() < finds) + int(random.random() < 0.2)):
                seen = NAMES[random.integers(2)] if random.random() < 0.15 else name
                dx, dy = random.integers(-shift, shift + 1, 2).tolist()
                score = round(float(random.random()), decimals)
                detections.append(found(seen, score, max(0, x + dx), max(0, y + dy), side))
        for _ in range(random.integers(0, 3)):
            at = random.integers(0, 150, 2).tolist()
            detections.append(found(NAMES[random.integers(2)], round(float(random.random()) / 2, decimals), *at, 20))
        images.append(judged(truths, detections, f"{number}.jpg"))
    return images
