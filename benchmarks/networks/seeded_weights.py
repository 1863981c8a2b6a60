"""Weights for the benchmark: random by a seed, of a size that keeps activations near one through 101 layers.

Time does not depend on what weights say, but on how many detections and positive regions come out: the background's
bias is low, so that every region is detected as something. The seed and the objectness's sign are those that find
boxes in the picture rather than in the padding around it, where the original loses them after it suppressed others.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from mrcnn import weights
from mrcnn.config import Config
from mrcnn.model import MaskRCNN

SPREAD_OF_PIXELS = 60.0
SEED = 3


def main() -> None:
    """Write the weights of a configuration."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", required=True, help="JSON of the configuration's attributes")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = MaskRCNN("inference", type("Settings", (Config,), json.loads(arguments.settings))(), "/tmp/mrcnn_runs")
    rng = np.random.default_rng(SEED)
    for (layer, tensor), variable in weights.network_tensors(model.keras_model).items():
        variable.assign(_values(layer, tensor, tuple(variable.shape), rng))
    model.save_weights(arguments.out)


def _values(layer: str, tensor: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if tensor == "kernel":
        inputs = shape[-1] * 4 if layer == "mrcnn_mask_deconv" else int(np.prod(shape[:-1]))
        last = layer in ("rpn_class_raw", "rpn_bbox_pred", "mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask")
        scale = {"rpn_bbox_pred": 0.3, "mrcnn_bbox_fc": 0.3}.get(layer, 1.0) if last else 1.4
        sign = -1 if layer == "rpn_class_raw" else 1
        return sign * rng.normal(0.0, scale / np.sqrt(inputs), shape)
    if tensor == "gamma":
        last_of_block = layer.endswith("branch2c")
        return np.full(shape, 1 / SPREAD_OF_PIXELS if layer == "bn_conv1" else 0.2 if last_of_block else 1.0)
    if layer == "mrcnn_class_logits" and tensor == "bias":
        return np.array([-10.0] + [0.0] * (shape[0] - 1))
    return np.full(shape, 1.0 if tensor == "moving_variance" else 0.0)


if __name__ == "__main__":
    main()
