"""Packs generated scenes into the two archives of the portal, with the faults of real ones."""

import json
import zipfile
from pathlib import Path
from typing import Any

from pipeline.files.atomic import whole_file
from pipeline.running.progress import track
from pipeline.sample.drawing import SPLITS, SceneKey, draw_all

BEYOND_THE_EDGE = 1280.643700
MISSING_IMAGE = "ffffffff-00000000.jpg"

Frame = dict[str, Any]


def spoil(frames: list[Frame]) -> None:
    """Put a zero-width box into the first frame and a vertex right of the image into the last, both in place."""
    frames[0]["labels"].append(_zero_width_box())
    frames[-1]["labels"].append(_lane_beyond_the_edge())
    _push_over_the_edge(frames)


def without_labels(frame: Frame) -> Frame:
    """Return the frame as released for an image that nobody labelled: its `labels` are null."""
    return {**frame, "labels": None}


def without_image(frame: Frame) -> Frame:
    """Return a frame whose image is in no archive; it has a label, which nothing can use."""
    return {**frame, "name": MISSING_IMAGE, "labels": [_zero_width_box()]}


def _push_over_the_edge(frames: list[Frame]) -> None:
    """Move the vertices of the first drivable area that touches the right edge as far over it as real files have."""
    for frame in frames:
        for label in frame["labels"]:
            for polygon in label.get("poly2d", []):
                touching = [vertex for vertex in polygon["vertices"] if vertex[0] >= 1280]
                if touching and label["category"] == "drivable area":
                    for vertex in touching:
                        vertex[0] = BEYOND_THE_EDGE
                    return


def _zero_width_box() -> dict[str, Any]:
    return {
        "category": "car",
        "attributes": {"occluded": True, "truncated": True, "trafficLightColor": "none"},
        "manualShape": True,
        "manualAttributes": True,
        "box2d": {"x1": 612.5, "y1": 360.25, "x2": 612.5, "y2": 371.75},
    }


def _lane_beyond_the_edge() -> dict[str, Any]:
    return {
        "category": "lane",
        "attributes": {"laneDirection": "parallel", "laneStyle": "solid", "laneType": "road curb"},
        "manualShape": True,
        "manualAttributes": True,
        "poly2d": [{"vertices": [[1180.25, 640.5], [BEYOND_THE_EDGE, 689.125]], "types": "LL", "closed": False}],
    }


GENERATOR_VERSION = 7
"""Changes whenever the same seed gives other bytes."""

IMAGES_ARCHIVE = "bdd100k_images_100k.zip"
LABELS_ARCHIVE = "bdd100k_labels_release.zip"
UNLABELLED, FRAMELESS = "unlabelled", "frameless"
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def generate(folder: Path, seed: int, train: int, val: int, processes: int | None = None) -> None:
    """Write the images archive with `train` + `val` labelled scenes, and the labels archive, into `folder`.

    On top of these the train split has one image with null labels, one without a frame, and a frame without an image.
    The same arguments give the same bytes; `processes` (default: one a core) changes only the time it takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = _keys(seed, train, val)
    frames: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    unlabelled: list[dict[str, Any]] = []
    with whole_file(folder / IMAGES_ARCHIVE) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for drawn in track(draw_all(keys, processes), "drawing the sample", len(keys), "scene"):
            key = drawn.key
            _store(archive, f"bdd100k/images/100k/{key.split}/{key.name}", drawn.jpeg)
            if key.fault == UNLABELLED:
                unlabelled.append(without_labels(drawn.frame))
            elif not key.fault:
                frames[key.split].append(drawn.frame)
    for split in SPLITS:
        spoil(frames[split])
    frames["train"] += [*unlabelled, without_image(unlabelled[0])]
    _write_labels(folder / LABELS_ARCHIVE, frames)


def _keys(seed: int, train: int, val: int) -> list[SceneKey]:
    """Return the scenes, sorted by their path in the archive."""
    keys = [SceneKey(seed, "train", number) for number in range(train)]
    keys += [SceneKey(seed, "train", train, UNLABELLED), SceneKey(seed, "train", train + 1, FRAMELESS)]
    keys += [SceneKey(seed, "val", number) for number in range(val)]
    return sorted(keys, key=lambda key: (key.split, key.name))


def _store(archive: zipfile.ZipFile, path: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(path, LONG_AGO)
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    archive.writestr(entry, content)


def _write_labels(path: Path, frames: dict[str, list[dict[str, Any]]]) -> None:
    """Write the consolidated JSON of each split; ids count on over both."""
    number = 0
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for split in SPLITS:
            for frame in frames[split]:
                for label in frame["labels"] or []:
                    label["id"] = number
                    number += 1
            text = ",\n".join(json.dumps(frame) for frame in frames[split])
            _store(archive, f"bdd100k/labels/bdd100k_labels_images_{split}.json", f"[\n{text}\n]\n".encode())
