"""Weights of keras.applications, and the layout of matterport's files."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from mrcnn import network, weights
from mrcnn.config import Config
from mrcnn.weights import imagenet

GOLDEN = Path("../shared/golden")


def test_the_backbone_with_weights_of_keras_applications_computes_the_same():
    theirs = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        for weight in layer.weights:
            low, high = {"variance": (0.5, 1.5), "gamma": (0.5, 0.9)}.get(weight.name.split("_")[-1], (-0.05, 0.05))
            weight.assign(rng.uniform(low, high, weight.shape))
    tensors = {(layer.name, weight.name): weight.numpy() for layer in theirs.layers for weight in layer.weights}

    class Fifty(Config):
        BACKBONE = "resnet50"

    from mrcnn.network.backbones import backbone

    image = keras.Input((64, 64, 3))
    ours = keras.Model(image, backbone(image, Fifty())[-1])
    assert imagenet.is_applications_file(tensors)
    weights.load(ours, imagenet.backbone_tensors(imagenet.renamed(tensors)), "keras.applications")
    # the pooling between, which has no weights, pads differently in the original and in keras.applications
    for (their_first, their_last), (our_first, our_last), turn in (
        ((theirs.input, "conv1_relu"), (ours.input, "conv1_relu"), -1),
        ((theirs.get_layer("pool1_pool").output, "conv5_block3_out"), (ours.get_layer("pool1").output, "res5c_out"), 1),
    ):
        features = rng.normal(size=(1, *their_first.shape[1:])).astype(np.float32)
        expected = keras.Model(their_first, theirs.get_layer(their_last).output)(features)
        found = keras.Model(our_first, ours.get_layer(our_last).output)(features[..., ::turn])
        assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-4)


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden is absent")
def test_the_layout_equals_matterport_s():
    class Golden(Config):
        BACKBONE = "resnet50"
        NUM_CLASSES = 5

    layout = json.loads((GOLDEN / "layout_resnet50.json").read_text())
    theirs = [
        (layer, weight["name"], tuple(weight["shape"]))
        for layer in layout["layer_names"]
        for weight in layout["layers"][layer]
    ]
    ours = [
        (group, f"{leaf.name}/{weight.name}:0", tuple(weight.shape))
        for group, leaf in weights.named_layers(network.inference_network(Golden()))
        for weight in leaf.weights
    ]
    assert sorted(ours) == sorted(theirs)
