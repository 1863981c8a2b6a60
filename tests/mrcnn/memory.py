"""Resident memory over training steps and detections, as a program, so that other tests do not affect it."""

import json
import sys
import tempfile
from typing import Any

import numpy as np
import psutil

import mrcnn  # noqa: F401
from mrcnn.config import Config
from tests.mrcnn.street import Squares, TinyConfig


class ConfigurationB(Config):
    """ResNet-50 on two images of 256 × 256 a step, 64 regions each: configuration B of the benchmarks."""

    NAME = "b"
    BACKBONE = "resnet50"
    NUM_CLASSES = 3
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 256
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 64
    DETECTION_MIN_CONFIDENCE = 0.0
    LEARNING_RATE = 1e-4


class OneAtATime(ConfigurationB):
    IMAGES_PER_GPU = 1


class Tiny(TinyConfig):
    DETECTION_MIN_CONFIDENCE = 0.0


CONFIGURATIONS: dict[str, tuple[type[Config], type[Config]]] = {"tiny": (Tiny, Tiny), "b": (ConfigurationB, OneAtATime)}


class Large(Squares):
    """The same rectangles in images of 640 × 480 pixels."""

    def load_image(self, image_id: int) -> np.ndarray:
        return np.kron(super().load_image(image_id), np.ones((8, 8, 1), np.uint8))

    def polygons(self, image_id: int) -> Any:
        rings, class_ids = super().polygons(image_id)
        return [[8 * ring for ring in of_one] for of_one in rings], class_ids


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return psutil.Process().memory_info().rss


def growth(sizes: list[int]) -> float:
    """Return the relative growth of the last fifty sizes over those around the fiftieth."""
    return float(np.mean(sizes[-50:]) / np.mean(sizes[45:55]) - 1)


def main(name: str, count: int) -> None:
    """Print the growth over `count` steps and over as many detections as JSON."""
    from mrcnn.model import MaskRCNN

    training, detection = CONFIGURATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        config = training()
        config.STEPS_PER_EPOCH = count
        steps: list[int] = []
        learner = MaskRCNN("training", config, folder)
        note = lambda *_: steps.append(resident())  # noqa: E731
        learner.train(Large(12), None, config.LEARNING_RATE, 1, "all", on_step=note)
        detector = MaskRCNN("inference", detection(), folder)
        detector.load_weights(learner.find_last())
    images, found = Large(12), []
    for number in range(count):
        detector.detect([images.load_image(number % 12)])
        found.append(resident())
    mib = {
        name: [round(size / 2**20) for size in sizes[49::50]] for name, sizes in (("train", steps), ("detect", found))
    }
    print(json.dumps({"train": growth(steps), "detect": growth(found), "MiB every 50": mib}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
