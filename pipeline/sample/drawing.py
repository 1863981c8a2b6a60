"""Draws scenes, here or in several processes, and yields them in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.running.processes import available_cores, process_pool

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
    wanted = min(processes or min(available_cores(), len(keys) // SCENES_A_PROCESS), len(keys))
    if wanted <= 1:
        yield from map(draw, keys)
        return
    with process_pool(wanted) as pool:
        yield from pool.map(_draw_on_one_thread, keys)


def _draw_on_one_thread(key: SceneKey) -> DrawnScene:
    import cv2

    cv2.setNumThreads(1)
    return draw(key)
