"""Judged images made of squares, for the tests of everything that judges: no network, no archive."""

import numpy as np

from pipeline.dataset.images_zip import ImageRecord
from pipeline.evaluation.detections import Detection, JudgedImage, Rle, Truth
from pipeline.geometry.polygon import Box

SIDE = 200
"""Width and height of every image here, in pixels."""


def rle(x: int, y: int, side: int) -> Rle:
    """Return the mask of a square whose left upper pixel is (x, y)."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + side, x : x + side] = True
    return Rle.of(mask)


def truth(category: str, x: int, y: int, side: int, ignored: bool = False) -> Truth:
    """Return a labelled square."""
    return Truth(category, rle(x, y, side), ignored)


def found(category: str, score: float, x: int, y: int, side: int) -> Detection:
    """Return a detected square."""
    return Detection(category, score, rle(x, y, side), Box(x, y, side, side))


def judged(truths: list[Truth], detections: list[Detection], name: str = "a.jpg", **attributes: str) -> JudgedImage:
    """Return an image with these, the detections by falling score."""
    record = ImageRecord(name, "val", SIDE, SIDE, (), f"images/val/{name}", 1000, 0, attributes)
    return JudgedImage(record, tuple(truths), tuple(sorted(detections, key=lambda each: -each.score)))
