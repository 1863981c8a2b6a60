"""Fixtures of the mrcnn tests: a tiny network, a batch for it, and results of matterport's code."""

import runpy

import numpy as np
import pytest

import mrcnn  # noqa: F401  (sets TensorFlow's environment before it is imported)
from mrcnn.config import Config, NarrowConfig
from mrcnn.ops import layers
from mrcnn.shapes.anchors import image_anchors
from tests.mrcnn.original.golden import FOLDER


class TinyConfig(NarrowConfig):
    """A narrow network of 8 channels, for two classes."""

    NAME = "tiny"
    NUM_CLASSES = 3
    IMAGES_PER_GPU = 2
    IMAGE_RESIZE_MODE = "pad32"
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 96
    BACKBONE_WIDTH = 8
    TOP_DOWN_PYRAMID_SIZE = 16
    RPN_CHANNELS = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    MASK_CONVOLUTIONS = 1
    MASK_CHANNELS = 8
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 96)
    RPN_TRAIN_ANCHORS_PER_IMAGE = 32
    POST_NMS_ROIS_TRAINING = 32
    POST_NMS_ROIS_INFERENCE = 32
    TRAIN_ROIS_PER_IMAGE = 16
    MAX_GT_INSTANCES = 6
    MINI_MASK_SHAPE = (14, 14)
    DETECTION_MAX_INSTANCES = 8
    DETECTION_MIN_CONFIDENCE = 0.0


def make_batch(config: Config, height: int, width: int, objects: int = 3, seed: int = 0) -> list[np.ndarray]:
    """A training batch in the order of the network's inputs, with random contents of the right shapes."""
    rng = np.random.default_rng(seed)
    batch, count = config.IMAGES_PER_GPU, config.RPN_TRAIN_ANCHORS_PER_IMAGE
    total = len(image_anchors(config, (height, width, 3)))
    meta = np.zeros((batch, config.IMAGE_META_SIZE), np.float32)
    meta[:, 4:7], meta[:, 7:11], meta[:, 12:] = (height, width, 3), (0, 0, height, width), 1
    match, deltas = np.zeros((batch, total, 1), np.int32), np.zeros((batch, count, 4), np.float32)
    class_ids = np.zeros((batch, config.MAX_GT_INSTANCES), np.int32)
    boxes = np.zeros((batch, config.MAX_GT_INSTANCES, 4), np.int32)
    for image in range(batch):
        chosen = rng.permutation(total)[:count]
        match[image, chosen, 0], match[image, chosen[:objects], 0] = -1, 1
        deltas[image, :objects] = rng.normal(size=(objects, 4))
        class_ids[image, :objects] = rng.integers(1, config.NUM_CLASSES, objects)
        corner = rng.integers(0, min(height, width) // 2, (objects, 2))
        boxes[image, :objects] = np.concatenate([corner, corner + rng.integers(16, 32, (objects, 2))], axis=1)
    masks = rng.random((batch, *config.MINI_MASK_SHAPE, config.MAX_GT_INSTANCES)) > 0.5
    images = rng.integers(0, 255, (batch, height, width, 3), dtype=np.uint8)
    return [images, meta, match, deltas, class_ids, boxes, masks]


@pytest.fixture
def tiny_config() -> TinyConfig:
    """The configuration of the tiny network."""
    return TinyConfig()


@pytest.fixture
def sixteen_bits(monkeypatch):
    """Use 16-bit precision even if float32 is faster on this machine."""
    monkeypatch.setattr(layers, "is_faster_in", lambda precision: True)


@pytest.fixture(scope="module")
def golden():
    with np.load(FOLDER / "golden_resnet50_128.npz") as stored:
        return {key.removeprefix("golden:"): stored[key] for key in stored if key.startswith("golden:")}


@pytest.fixture(scope="module")
def golden_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "weights.h5"
    runpy.run_path(str(FOLDER / "weights.py"))["write"](path)
    return path
