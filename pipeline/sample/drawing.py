"""Draws scenes, here or in several processes, and yields them in order."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import numpy as np

SPLITS = ("train", "val")
"""The splits that the sample has."""
JPEG_QUALITY = (62, 93)
SCENES_A_PROCESS = 4
"""Fewer are not worth the start of a process."""


@dataclass(frozen=True)
class SceneKey:
    """What decides a scene: its number within its split, and what is wrong with its frame ("" where nothing is)."""

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
class DrawnScene:
    """A drawn scene: its key, its JPEG and its 2018 frame."""

    key: SceneKey
    jpeg: bytes
    frame: dict[str, Any]


def draw(key: SceneKey) -> DrawnScene:
    """Draw one scene: the JPEG and its frame."""
    import cv2

    from pipeline.sample.labels import describe
    from pipeline.sample.painting import paint
    from pipeline.sample.scene import sample_scene

    rng = key.generator(1)
    scene = sample_scene(rng)
    canvas, picture = paint(scene, rng)
    quality = int(rng.integers(*JPEG_QUALITY))
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return DrawnScene(key, jpeg.tobytes(), describe(key.name, scene, canvas))


def draw_all(keys: list[SceneKey], processes: int | None = None) -> Iterator[DrawnScene]:
    """Yield all scenes in order, drawn by `processes` (default: one a core, at most one for four scenes)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = min(processes or min(cores, len(keys) // SCENES_A_PROCESS), len(keys))
    if wanted <= 1:
        yield from map(draw, keys)
        return
    with process_pool(wanted) as pool:
        yield from pool.map(_draw_on_one_thread, keys)


def _draw_on_one_thread(key: SceneKey) -> DrawnScene:
    import cv2

    cv2.setNumThreads(1)
    return draw(key)


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of `processes`; what they run must be importable, and a script that uses it needs a main guard.

    They are new processes: a fork of a process that has threads may hang. Ctrl-C is handled by the one that started
    them.
    """
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_start)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent has ended; the pool's own queues stay open then, and it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
