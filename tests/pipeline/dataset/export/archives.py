"""Archives to export: one with every kind of label, and one of the embedded sample."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline import dataset, recipe
from pipeline.geometry.polygon import Ring
from tests.pipeline.labelled_folders import filtered, via_of
from tests.pipeline.small_datasets import entry, jpeg, polygon, square, write

WIDTH, HEIGHT = 160, 90
STAR = [(80.0, 10.0), (95.0, 60.0), (55.0, 30.0), (105.0, 30.0), (65.0, 60.0)]
"""Crosses itself; its middle is wound around twice."""
BOX = {"name": "rect", "x": 3, "y": 4, "width": 50, "height": 60}


def rectangle(left: float, top: float, right: float, bottom: float, **attributes: str) -> dict[str, Any]:
    """Return a region of VIA, drawn as a polygon."""
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], **attributes)


REGIONS: dict[str, list[dict[str, Any]]] = {
    "plain": [square(10, 20, 40, "car", occluded="true", attributes=json.dumps({"colour": "red", "doors": 4}))],
    "parts": [square(5, 5, 20, "car", instance="7"), square(60, 40, 30, "car", instance="7")],
    "overlapping": [
        rectangle(10, 10, 40, 30, name="bus", instance="8"),
        rectangle(20, 20, 50, 60, name="bus", instance="8"),
    ],
    "star": [polygon(STAR, name="sign")],
    "hole": [
        polygon([(100, 10), (150, 10), (150, 60), (140, 60), (140, 20), (100, 20)], name="bus", instance="9"),
        polygon([(100, 12), (110, 12), (110, 50), (145, 50), (145, 60), (100, 60)], name="bus", instance="9"),
    ],
    "beyond": [square(140, 70, 40, "car")],
    "outside": [square(200, 10, 20, "car")],
    "crowd": [square(30.5, 30.5, 20, "person", crowd="true")],
    "ignored": [square(100, 60, 20, "car", ignored="true")],
    "box": [{"shape_attributes": BOX, "region_attributes": {"name": "car"}}],
    "empty": [],
}
"""Of each image; what is in it is one instance."""


def every_kind(folder: Path, **more: dict[str, Any]) -> Path:
    """Write an archive whose train has an image of each kind; val has an empty one. `more` are keys of an entry."""
    labels = {
        name: entry(f"{name}.jpg", regions) | {"width": WIDTH, "height": HEIGHT} | more.get(name, {})
        for name, regions in REGIONS.items()
    }
    images = {f"train/{name}.jpg": jpeg(WIDTH, HEIGHT, seed) for seed, name in enumerate(REGIONS)}
    val = {"v": entry("v.jpg", [], width=WIDTH, height=HEIGHT)}
    return write(folder / "images.zip", {"train": labels, "val": val}, images | {"val/v.jpg": jpeg(WIDTH, HEIGHT)})


def of_sample(folder: Path) -> Path:
    """Run the chain up to images.zip on twelve scenes of the sample."""
    made = recipe.parse({"source": {"sample": {"train": 8, "val": 4}}, "dataset": {"split": "path"}})
    labels = filtered(made, folder / "work")
    sides = {f"via_{split}": via_of(made, labels, split) for split in ("train", "val")}
    (folder / "zip").mkdir()
    dataset.build(made, labels, **sides, raw_images=labels.parent / "raw_images", out=folder / "zip")
    return folder / "zip" / "images.zip"


def differs_at_the_border_only(found: np.ndarray, expected: np.ndarray, *drawn: Ring) -> bool:
    """Say whether two masks, [H, W] bool, differ in no pixel but those within one of the lines that are drawn."""
    border = np.zeros(found.shape, np.uint8)
    for ring in drawn:
        cv2.polylines(border, [np.floor(ring).astype(np.int32)], isClosed=True, color=1)
    return not ((found != expected) & ~cv2.dilate(border, np.ones((3, 3), np.uint8)).astype(bool)).any()
