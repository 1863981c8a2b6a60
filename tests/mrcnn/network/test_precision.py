"""Mixed precision: convolutions in 16 bits; boxes, softmax, losses and weights in float32."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn import network
from mrcnn.model import MaskRCNN
from mrcnn.ops import layers
from mrcnn.training.optimizers import build_optimizer
from tests.mrcnn.conftest import TinyConfig, make_batch

EXACT = ("rpn_class", "rpn_bbox", "rpn_class_logits", "ROI", "mrcnn_class", "mrcnn_class_logits", "mrcnn_bbox")


@pytest.fixture(params=["bfloat16", "float16"])
def config(request, sixteen_bits):
    chosen = TinyConfig()
    chosen.PRECISION = request.param
    return chosen


def test_weights_are_float32_with_16_bit_precision(config):
    keras.utils.set_random_seed(0)
    model = network.training_network(config)
    model.compile(optimizer=build_optimizer(config, 1e-3), jit_compile=False)
    scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scales == (config.PRECISION == "float16")
    if scales:
        model.optimizer.build(model.trainable_variables)
        model.optimizer.dynamic_scale.assign(1024.0)  # where it comes to after a few steps that overflow
    batch = tuple(tf.constant(part) for part in make_batch(config, 64, 96))
    before = [variable.numpy() for variable in model.trainable_variables]
    losses = model.losses_of(batch, training=True)
    assert {value.dtype for value in losses.values()} == {tf.float32}
    model.train_step((batch,))
    changed = [(variable.numpy() != old).any() for variable, old in zip(model.trainable_variables, before, strict=True)]
    assert np.mean(changed) > 0.9
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.get_layer("conv1").compute_dtype == config.PRECISION
    assert {model.get_layer(name).output.dtype for name in ("mrcnn_class_logits", "mrcnn_bbox", "ROI")} == {"float32"}
    exact = TinyConfig()
    reference = network.training_network(exact)
    for ours, value in zip(reference.trainable_variables, before, strict=True):
        ours.assign(value)
    expected = reference.losses_of(batch, training=True)
    for name in ("rpn_class_loss", "rpn_bbox_loss"):  # the others depend on which proposals won
        assert float(losses[name]) == pytest.approx(float(expected[name]), rel=0.05), name


def test_a_faster_float32_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(layers, "is_faster_in", lambda precision: False)
    layers._log_that_float32_is_faster.cache_clear()
    caplog.set_level(logging.INFO)
    policies = [layers.precision_policy(precision) for precision in ("float32", "bfloat16", "bfloat16")]
    assert {policy.compute_dtype for policy in policies} == {"float32"}
    assert caplog.messages == ["PRECISION is bfloat16, but float32 is used: it is faster on this processor"]


def test_detections_are_float32(config, tmp_path):
    model = MaskRCNN("inference", config, tmp_path)
    layer = model.keras_model.get_layer
    assert {layer(name).output.dtype for name in EXACT} == {"float32"}
    assert layer("fpn_p2").compute_dtype == config.PRECISION
    found = model.detect([np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)])[0]
    assert found["scores"].dtype == np.float32
    assert np.isfinite(found["scores"]).all()
    assert found["masks"].shape == (64, 96, len(found["rois"]))
