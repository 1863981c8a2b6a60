"""Matterport's networks: names and shapes of their weights, and weight files of COCO and ImageNet."""

import json
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format  # what writes a file as Keras 2 did; public names refuse to

from mrcnn import model as modellib
from mrcnn import weights
from mrcnn.config import Config
from mrcnn.network.backbones import BLOCKS
from mrcnn.ops.layers import EPSILON
from mrcnn.weights import imagenet
from tests.mrcnn.street import Squares

GOLDEN = Path("../shared/golden")


class CocoConfig(Config):
    """As in the original's samples/coco/coco.py."""

    NAME = "coco"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 80


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return modellib.MaskRCNN("inference", CocoConfig(), tmp_path_factory.mktemp("coco"))


def shapes(model):
    """(group, name in the file) of every weight with its shape."""
    return {
        (group, f"{leaf.name}/{weight.name}:0"): tuple(weight.shape)
        for group, leaf in weights.named_layers(model)
        for weight in leaf.weights
    }


def test_the_coco_network_is_as_large_as_the_original_s(coco):
    """From its summary(): total params 64,158,584, of which 64,047,096 trainable."""
    model = coco.keras_model
    assert model.count_params() == 64_158_584
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 64_047_096


def test_the_coco_network_has_23_blocks_in_its_fourth_stage(coco):
    found = shapes(coco.keras_model)
    blocks = {name.split("_")[0] for name, _ in found if name.startswith("res4")}
    assert sorted(blocks) == [f"res4{letter}" for letter in "abcdefghijklmnopqrstuvw"]
    assert found["res4w_branch2c", "res4w_branch2c/kernel:0"] == (1, 1, 256, 1024)
    assert found["mrcnn_class_logits", "mrcnn_class_logits/kernel:0"] == (1024, 81)
    assert found["mrcnn_bbox_fc", "mrcnn_bbox_fc/kernel:0"] == (1024, 324)
    assert found["mrcnn_mask", "mrcnn_mask/kernel:0"] == (1, 1, 256, 81)


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden is absent")
def test_the_coco_network_s_layout_is_that_of_resnet_50_with_more_blocks_and_classes(coco):
    layout = json.loads((GOLDEN / "layout_resnet50.json").read_text())["layers"]
    expected = {(layer, each["name"]): tuple(each["shape"]) for layer, of in layout.items() for each in of}
    for layer in [name for name in layout if "4b_branch" in name]:
        for letter in "ghijklmnopqrstuvw":
            name = layer.replace("4b", f"4{letter}")
            for each in layout[layer]:
                expected[name, each["name"].replace(layer, name)] = tuple(each["shape"])
    for layer, size in (("mrcnn_class_logits", 81), ("mrcnn_bbox_fc", 4 * 81), ("mrcnn_mask", 81)):
        for each in layout[layer]:
            expected[layer, each["name"]] = (*each["shape"][:-1], size)
    assert shapes(coco.keras_model) == expected


def applications_shapes(blocks):
    """Tensors of keras.applications' ResNet without its classifier: layer and tensor, with the shape of each."""
    convolutions = {"conv1": (7, 3, 64)}
    inputs = 64
    for stage, count in enumerate(blocks, start=2):
        width = 64 * 2 ** (stage - 2)
        for block in range(1, count + 1):
            for part, size, before, after in (
                (0, 1, inputs, 4 * width), (1, 1, inputs, width), (2, 3, width, width), (3, 1, width, 4 * width),
            ):  # fmt: skip
                if part or block == 1:
                    convolutions[f"conv{stage}_block{block}_{part}"] = (size, before, after)
            inputs = 4 * width
    found = {}
    for name, (size, before, after) in convolutions.items():
        found |= {(f"{name}_conv", "kernel"): (size, size, before, after), (f"{name}_conv", "bias"): (after,)}
        found |= {(f"{name}_bn", kind): (after,) for kind in ("gamma", "beta", "moving_mean", "moving_variance")}
    return found


def test_all_layers_of_imagenet_s_resnet_101_are_loaded(coco, tmp_path):
    path, stored = tmp_path / "resnet101_notop.h5", applications_shapes(BLOCKS["resnet101"])
    values = {key: 0.5 + number / len(stored) for number, key in enumerate(stored)}
    with h5py.File(path, "w") as file:
        for (layer, tensor), shape in stored.items():  # of one value each, which takes no room
            file.create_dataset(f"{layer}/{layer}/{tensor}:0", shape, np.float32, fillvalue=values[layer, tensor])
    coco.load_weights(path, by_name=True)
    tensors = weights.network_tensors(coco.keras_model)
    backbone = {key for key in tensors if not weights.HEADS.match(key[0])}
    assert {(imagenet.layer_name(layer), tensor) for layer, tensor in stored} == backbone
    for theirs, ours in {
        ("conv1_conv", "kernel"): ("conv1", "kernel"),
        ("conv1_bn", "beta"): ("bn_conv1", "beta"),
        ("conv2_block1_0_conv", "kernel"): ("res2a_branch1", "kernel"),
        ("conv3_block4_2_bn", "moving_mean"): ("bn3d_branch2b", "moving_mean"),
        ("conv4_block23_3_conv", "kernel"): ("res4w_branch2c", "kernel"),
        ("conv5_block3_1_conv", "bias"): ("res5c_branch2a", "bias"),
    }.items():
        assert tensors[ours].numpy() == pytest.approx(np.full(tensors[ours].shape, values[theirs])), ours


class BalloonConfig(Config):
    """As in the original's samples/balloon/balloon.py, on smaller images and for one step."""

    NAME = "balloon"
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 1 + 2
    BACKBONE = "resnet50"
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    TRAIN_ROIS_PER_IMAGE = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 64
    STEPS_PER_EPOCH = 1
    VALIDATION_STEPS = 1
    DETECTION_MIN_CONFIDENCE = 0.9


def test_a_script_trains_the_heads_of_a_resnet_50_with_imagenet_s_weights(tmp_path, monkeypatch):
    path = tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    theirs = keras.applications.ResNet50(weights=None, include_top=False)
    theirs.get_layer("conv1_bn").moving_variance.assign(np.full(64, 0.01, np.float32))
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    monkeypatch.setattr(imagenet, "download", {"resnet50": path}.__getitem__)
    config = BalloonConfig()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=str(tmp_path))
    model.load_weights(model.get_imagenet_weights(), by_name=True)
    layer = model.keras_model.get_layer
    kernel = theirs.get_layer("conv1_conv").kernel.numpy()[:, :, ::-1]  # theirs takes BGR
    scale = np.sqrt((0.01 + EPSILON) / (0.01 + 1.001e-5))  # and adds less to the variance
    deepest = theirs.get_layer("conv5_block3_3_conv").kernel.numpy()
    head = layer("mrcnn_class_logits").kernel.numpy()
    model.train(Squares(2), None, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads")
    assert (layer("conv1").kernel.numpy() == kernel).all()
    assert layer("bn_conv1").gamma.numpy() == pytest.approx(np.full(64, scale), rel=1e-6)
    assert (layer("res5c_branch2c").kernel.numpy() == deepest).all()
    assert (layer("mrcnn_class_logits").kernel.numpy() != head).any()
    assert model.find_last().endswith("mask_rcnn_balloon_0001.h5")
