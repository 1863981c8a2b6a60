"""Draws scenes, here or in several processes of our own, and hands them over in order.

The processes are started by name, so that they neither fork this one's threads nor import its main module again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

SPLITS = ("train", "val")
JPEG_QUALITY = (62, 93)
PROJECT = Path(__file__).resolve().parent.parent.parent


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


def draw(order: Order) -> Drawn:
    """Draw one scene: the JPEG and its frame."""
    import cv2

    from pipeline.sample.labels import describe
    from pipeline.sample.painting import paint
    from pipeline.sample.scene import sample_scene

    rng = order.generator(1)
    scene = sample_scene(rng)
    canvas, picture = paint(scene, rng)
    quality = int(rng.integers(*JPEG_QUALITY))
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Drawn(order, jpeg.tobytes(), describe(order.name, scene, canvas))


def draw_all(orders: list[Order], processes: int | None = None) -> Iterator[Drawn]:
    """Yield all scenes in order, drawn by `processes` (default: one a core, at most one for four scenes)."""
    wanted = min(processes or min(_cores(), len(orders) // 4), len(orders))
    if wanted <= 1:
        yield from map(draw, orders)
        return
    painters = [Painter() for _ in range(wanted)]
    idle: SimpleQueue[Painter] = SimpleQueue()
    for painter in painters:
        idle.put(painter)

    def draw_elsewhere(order: Order) -> Drawn:
        painter = idle.get()
        try:
            return painter.draw(order)
        finally:
            idle.put(painter)

    pool = ThreadPoolExecutor(wanted)
    try:
        yield from pool.map(draw_elsewhere, orders)
    finally:
        pool.shutdown(cancel_futures=True)
        for painter in painters:
            painter.dismiss()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Painter:
    """A process that draws scenes; it ends by itself when this one is gone."""

    def __init__(self) -> None:
        paths = [str(PROJECT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        command = [sys.executable, "-m", "pipeline.sample.painting_process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def draw(self, order: Order) -> Drawn:
        """Have one scene drawn; RuntimeError if the process ends instead (its stderr, which is ours, says why)."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(json.dumps(asdict(order)).encode() + b"\n")
            requests.flush()
            header = json.loads(answers.readline())
            jpeg = answers.read(header["size"])
            if len(jpeg) < header["size"]:
                raise BrokenPipeError
        except (BrokenPipeError, json.JSONDecodeError) as error:
            code = self._process.wait()
            raise RuntimeError(f"a process that draws the sample ended with {code} at {order}") from error
        return Drawn(order, jpeg, header["frame"])

    def dismiss(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()
