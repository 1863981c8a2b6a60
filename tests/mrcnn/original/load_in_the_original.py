"""Run by a Python 3.7 with mrcnn 2.1: loads a file that we wrote and compares its outputs with the golden ones.

usage: python load_in_the_original.py FILE.h5 GOLDEN_FOLDER
"""

import os
import sys

import numpy as np

from mrcnn import model as modellib
from mrcnn.config import Config

OUTPUTS = ("detections", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask", "rpn_rois", "rpn_class", "rpn_bbox")


class Golden(Config):
    """The configuration of the golden figures."""

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


def main(path, folder):
    """Exit with a failure where an output is not the golden one."""
    stored = np.load(os.path.join(folder, "golden_resnet50_128.npz"))
    inputs = [stored["golden:" + name] for name in ("molded_images", "image_metas", "anchors")]
    model = modellib.MaskRCNN("inference", Golden(), "logs")
    for by_name in (True, False):
        model.load_weights(path, by_name=by_name)
        for name, found in zip(OUTPUTS, model.keras_model.predict(inputs)):  # noqa: B905  (Python 3.7)
            distance = float(np.abs(found - stored["golden:" + name]).max())
            print(by_name, name, distance)
            assert distance < 1e-3, (by_name, name, distance)


if __name__ == "__main__":
    main(*sys.argv[1:])
