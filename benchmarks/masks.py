"""Which pixels a mask should have: rules to fill polygons, beside the masks that BDD100K publishes of the same labels.

First at the image's own resolution, where evaluation fills polygons; then at that of a network's input, beside the
published masks shown as small; then as the network learns them: targets of 28 × 28, put back into the image as a
detection of just these would be.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from mrcnn.config import Config
from mrcnn.data.resizing import Frame, frame_for
from mrcnn.shapes import polygons
from mrcnn.shapes.masks import unmold_mask
from pipeline.geometry import curves, masks, polygon
from pipeline.geometry.ring_table import RingTable

SHAPE = (720, 1280)
LABELS = "bdd/seg_track_20/00091078-875c1f73.json"
CENTRES, HALF, TOUCHED = 1e-6, 0.5, 1.0
"""Sides of the square around the centre of a pixel, in pixels, that an area must have a part of."""
RULES = {"pixel centres": CENTRES, "half a pixel": HALF, "every touched pixel": TOUCHED}
OF_THE_INPUT = "touched pixels of the input"
INPUTS = {
    "recipes/bdd100k.yaml (1024 × 576)": {"IMAGE_MIN_DIM": 576, "IMAGE_MAX_DIM": 1024},
    "recipes/sample.yaml (384 × 216)": {"IMAGE_MIN_DIM": 216, "IMAGE_MAX_DIM": 384},
}
SIZES = {"all": (0, 1e9), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e9)}
"""Pixels of the published mask, as COCO has them."""

Mask = NDArray[np.bool_]
Labels = list[tuple[list[polygons.Ring], Mask]]


def run(real: Path) -> None:
    """Print the tables for the labels under `real` that have polygons and a published mask."""
    labels = published(real / LABELS)
    print(machine.described())
    print(f"\n{LABELS}: {len(labels)} labels; IoU with the published mask, median (least); area, median")
    areas = np.array([official.sum() for _, official in labels])
    table("at the image's resolution", labels, areas, {name: _filled(side, (1, 1)) for name, side in RULES.items()})
    for name, settings in INPUTS.items():
        config = type("Input", (Config,), {"IMAGE_RESIZE_MODE": "pad32", "IMAGE_PAD_BOUNDED": True, **settings})()
        frame = frame_for(SHAPE, config)
        rules = {rule: _filled(side, frame.pixel) for rule, side in RULES.items()}
        table(f"in the input of {name}", _shown(labels, frame), areas, {**rules, OF_THE_INPUT: _filled(1, (1, 1))})
        rules = {rule: _learnt(config, side, frame.pixel) for rule, side in RULES.items()}
        table(f"as learnt by {name}", labels, areas, {**rules, OF_THE_INPUT: _learnt(config, 1, (1, 1))})


def published(file: Path) -> Labels:
    """Return the rings and the published mask of each label that has both."""
    frames = json.loads(file.read_text())
    labels = [label for frame in frames for label in frame["labels"] if label.get("poly2d") and label.get("rle")]
    return [(_rings(label), masks.decode(label["rle"]["counts"], *label["rle"]["size"])) for label in labels]


def _rings(label: dict[str, Any]) -> list[polygons.Ring]:
    paths = label["poly2d"]
    points = polygon.rounded([vertex for path in paths for vertex in path["vertices"]])
    counts, letters = [len(path["vertices"]) for path in paths], [path["types"] for path in paths]
    return RingTable(*curves.flatten(points, counts, letters, [True] * len(paths), 0.05)).separate()


Rule = Callable[[list[polygons.Ring], tuple[int, int]], Mask]
"""From rings and an image's (height, width) to the mask, [height, width]."""


def _shown(labels: Labels, frame: Frame) -> Labels:
    """Return the labels as the network's input shows them: where a pixel of it is covered by half or more."""
    y1, x1, y2, x2 = frame.window
    shown = []
    for rings, official in labels:
        mask = np.zeros(frame.shape, np.bool_)
        share = cv2.resize(official.astype(np.float32), frame.size[::-1], interpolation=cv2.INTER_AREA)
        mask[y1:y2, x1:x2] = share >= 0.5
        shown.append(([frame.move(ring) for ring in rings], mask))
    return shown


def _filled(side: float, pixel: polygons.Size) -> Rule:
    return lambda rings, shape: polygons.mask(rings, *shape, pixel=(side * pixel[0], side * pixel[1]))


def _learnt(config: Config, side: float, of_pixel: polygons.Size) -> Rule:
    """Return what is detected by a network that finds each box and target just as it was trained on."""
    import tensorflow as tf

    pixel = (side * of_pixel[0], side * of_pixel[1])

    def rule(rings: list[polygons.Ring], shape: tuple[int, int]) -> Mask:
        frame = frame_for(shape, config)
        inside = polygons.clipped([frame.move(ring) for ring in rings], frame.window)
        box = np.array([polygons.pixel_box(inside, frame.window, pixel, frame.offset)])
        mini = polygons.coverage([inside], box, config.MINI_MASK_SHAPE, pixel)[..., None] / polygons.FULL
        target = np.round(tf.image.crop_and_resize(mini, [[0, 0, 1, 1]], [0], config.MASK_SHAPE)[0, ..., 0])
        in_image = (box[0] - np.tile(frame.offset, 2)) / np.tile(frame.pixel, 2)
        return unmold_mask(target, np.round(in_image), shape)

    return rule


def table(title: str, labels: Labels, areas: NDArray[np.int64], rules: dict[str, Rule]) -> None:
    """Print a row a rule, by the `areas` of the published masks."""
    groups = {name: np.flatnonzero((areas >= low) & (areas < high)) for name, (low, high) in SIZES.items()}
    print(f"\n{title:52}" + "".join(f"{name + ' (' + str(len(of)) + ')':>24}" for name, of in groups.items()))
    for name, rule in rules.items():
        shares = np.array([_compared(rule(rings, official.shape), official) for rings, official in labels])
        print(f"{name:52}" + "".join(f"{_figures(shares[of]):>24}" for of in groups.values()))


def _compared(one: Mask, official: Mask) -> tuple[float, float]:
    """Return the intersection over the union, and the share of the official area."""
    return (one & official).sum() / (one | official).sum(), one.sum() / official.sum()


def _figures(shares: NDArray[np.float64]) -> str:
    overlap, area = shares.T
    return f"{np.median(overlap):.3f} ({overlap.min():.3f}) {np.median(area):.3f}"
