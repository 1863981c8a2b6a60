"""Packs generated scenes into the two archives of the portal, drawn by as many processes as there are cores.

A scene depends on the seed, its split and its number only, so the bytes are the same with any number of processes.
"""

import json
import multiprocessing
import os
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import whole_file
from pipeline.progress import Progress
from pipeline.sample import faults

GENERATOR_VERSION = 2
"""Changes whenever the same seed gives other bytes."""

IMAGES_ARCHIVE = "bdd100k_images_100k.zip"
LABELS_ARCHIVE = "bdd100k_labels_release.zip"
SPLITS = ("train", "val")
UNLABELLED, FRAMELESS = "unlabelled", "frameless"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
JPEG_QUALITY = (62, 93)


@dataclass(frozen=True)
class Order:
    """One scene to draw: its number within its split, and what is wrong with its frame ("" where nothing is)."""

    seed: int
    split: str
    number: int
    fault: str = ""

    def generator(self, purpose: int) -> np.random.Generator:
        """Return the generator of this scene for its name (0) or its content (1)."""
        seed = [self.seed, SPLITS.index(self.split), self.number, purpose]
        return np.random.default_rng(np.random.SeedSequence(seed))

    @property
    def name(self) -> str:
        """The image's file name, made like BDD's."""
        first, second = self.generator(0).integers(0, 2**32, 2)
        return f"{first:08x}-{second:08x}.jpg"


@dataclass(frozen=True)
class Drawn:
    """A drawn scene: its order, its JPEG and its 2018 frame."""

    order: Order
    jpeg: bytes
    frame: dict[str, Any]


def generate(folder: Path, seed: int, train: int, val: int, processes: int | None = None) -> None:
    """Write the images archive with `train` + `val` labelled scenes, and the labels archive, into `folder`.

    On top of these the train split has one image with null labels, one without a frame, and a frame without an image.
    The same arguments give the same bytes; `processes` (default: one a core) changes only the time it takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    orders = _orders(seed, train, val)
    frames: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    unlabelled: list[dict[str, Any]] = []
    with whole_file(folder / IMAGES_ARCHIVE) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for drawn in _drawn(orders, processes):
            order = drawn.order
            _store(archive, f"bdd100k/images/100k/{order.split}/{order.name}", drawn.jpeg)
            if order.fault == UNLABELLED:
                unlabelled.append(faults.without_labels(drawn.frame))
            elif not order.fault:
                frames[order.split].append(drawn.frame)
    for split in SPLITS:
        faults.spoil(frames[split])
    frames["train"] += [*unlabelled, faults.without_image(unlabelled[0])]
    _write_labels(folder / LABELS_ARCHIVE, frames)


def _orders(seed: int, train: int, val: int) -> list[Order]:
    """Return the scenes in the order in which the archive has them: by path."""
    orders = [Order(seed, "train", number) for number in range(train)]
    orders += [Order(seed, "train", train, UNLABELLED), Order(seed, "train", train + 1, FRAMELESS)]
    orders += [Order(seed, "val", number) for number in range(val)]
    return sorted(orders, key=lambda order: (order.split, order.name))


def _drawn(orders: list[Order], processes: int | None) -> Iterator[Drawn]:
    """Yield all scenes in order, drawn by several processes where that is worth it and allowed."""
    wanted = min(processes or _cores(), len(orders))
    alone = wanted == 1 or multiprocessing.current_process().daemon
    with Progress("drawing the sample", len(orders), "scene") as bar:
        for scene in map(draw, orders) if alone else _drawn_by(wanted, orders):
            yield scene
            bar.advance()


def _drawn_by(processes: int, orders: list[Order]) -> Iterator[Drawn]:
    """Yield scenes drawn by fresh processes; forked ones could inherit locks that threads of this process hold."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_settle) as pool:
        try:
            yield from pool.map(draw, orders, chunksize=2)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _settle() -> None:
    """Make this process draw with one thread, and end as soon as the one that started it is gone."""
    import cv2

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def draw(order: Order) -> Drawn:
    """Draw one scene: the JPEG and its frame."""
    import cv2

    from pipeline.sample.labels import describe
    from pipeline.sample.picture import paint
    from pipeline.sample.scene import sample_scene

    rng = order.generator(1)
    scene = sample_scene(rng)
    canvas, picture = paint(scene, rng)
    quality = int(rng.integers(*JPEG_QUALITY))
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Drawn(order, jpeg.tobytes(), describe(order.name, scene, canvas))


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
