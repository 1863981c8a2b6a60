"""Results of matterport's code on TensorFlow 1.15 (../shared/golden), and their configuration."""

from pathlib import Path

import pytest

from mrcnn.config import Config

FOLDER = Path("../shared/golden").resolve()

needs_golden = pytest.mark.skipif(not FOLDER.exists(), reason="../shared/golden is absent")


class Golden(Config):
    NAME = "golden"
    BACKBONE = "resnet50"
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    NUM_CLASSES = 5
    IMAGES_PER_GPU = 1
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    DETECTION_MIN_CONFIDENCE = 0.0
    DETECTION_MAX_INSTANCES = 20
    POST_NMS_ROIS_INFERENCE = 200
