"""A trained model's folder with a tiny network whose seeded weights find something in every picture."""

from pathlib import Path

import keras

from mrcnn import weights
from mrcnn.model import MaskRCNN
from pipeline.training import model_file
from tests.mrcnn.conftest import TinyConfig

CLASSES = ("car", "traffic sign")


def write(folder: Path) -> Path:
    """Write model.json and weights, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(3)
    model = MaskRCNN("inference", TinyConfig(), folder)
    small = ("rpn_class_raw", "rpn_bbox_pred", "mrcnn_class_logits", "mrcnn_bbox_fc")
    for (layer, tensor), weight in weights.network_tensors(model.keras_model).items():
        if tensor == "kernel" and layer in small:  # random ones give boxes of no area
            weight.assign(weight.numpy() * 0.002)
    model.keras_model.get_layer("mrcnn_class_logits").bias.assign([-2.0, 1.0, 1.0])
    model_file.write(folder, model.config, CLASSES)
    model.save_weights(folder / model_file.weights_file("tiny"))
    return folder
