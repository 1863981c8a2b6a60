"""Code for GPUs, tested with the same operations on the CPU."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn.network import proposals, roi_pooling
from mrcnn.ops import convolution


@pytest.fixture
def gpu(monkeypatch):
    """The network is traced as for a GPU."""
    for module in (convolution, proposals, roi_pooling):
        monkeypatch.setattr(module, "targets_gpu", lambda: True)
    monkeypatch.setattr(
        convolution, "_avoids_fusion", lambda: False
    )  # which a processor without AVX-512 does the same for


def test_exported_graphs_do_not_target_the_gpu(monkeypatch):
    monkeypatch.setattr(convolution, "runs_on_cpu", lambda: False)
    assert convolution.targets_gpu()
    with convolution.portable_operations():
        assert not convolution.targets_gpu()
    monkeypatch.setattr(convolution, "runs_on_cpu", lambda: True)
    assert not convolution.targets_gpu()


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_keras_does_not_use_xla_which_lacks_operations(mode, tiny_config, tmp_path, monkeypatch):
    """Scripts may call keras_model.predict and compile themselves; Keras' "auto" uses XLA on a GPU."""
    from mrcnn.model import MaskRCNN

    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
    assert keras.Sequential([keras.layers.Dense(1)]).jit_compile  # or this test would show nothing
    model = MaskRCNN(mode, tiny_config, tmp_path).keras_model
    assert not model.jit_compile
    model.compile("sgd")
    assert not model.jit_compile


def test_parts_of_the_network_are_computed_without_xla(tiny_config, tmp_path, monkeypatch):
    from mrcnn.model import MaskRCNN

    model = MaskRCNN("inference", tiny_config, tmp_path)
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    chosen = []

    def predict_on_batch(parts, inputs):
        with monkeypatch.context() as patch:
            patch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
            assert keras.Sequential([keras.layers.Dense(1)]).jit_compile  # or this test would show nothing
            chosen.append(parts.jit_compile)
        return predicted(parts, inputs)

    predicted = keras.Model.predict_on_batch
    monkeypatch.setattr(keras.Model, "predict_on_batch", predict_on_batch)
    wanted = [("rpn_class", model.keras_model.get_layer("rpn_class").output)]
    found = model.run_graph([np.zeros((64, 64, 3), np.uint8)], wanted)
    assert np.isfinite(found["rpn_class"]).all()
    assert chosen == [False]


@pytest.mark.parametrize(("count", "overlap"), [(20, 0.7), (150, 0.3), (150, 0.7)])
def test_proposals_are_the_same_image_by_image(gpu, count, overlap, monkeypatch):
    rng = np.random.default_rng(count)
    corners = np.sort(rng.random((2, 150, 2, 2)), axis=2).reshape(2, 150, 4).astype(np.float32)
    scores = -np.sort(-rng.random((2, 150)), axis=1).astype(np.float32)
    traced = tf.function(proposals.suppress_overlaps).get_concrete_function(corners, scores, count, overlap)
    kinds = {node.op for function in traced.graph.as_graph_def().library.function for node in function.node_def}
    assert "NonMaxSuppressionV3" in kinds
    assert "CombinedNonMaxSuppression" not in kinds
    found = proposals.suppress_overlaps(corners, scores, count, overlap).numpy()
    monkeypatch.setattr(proposals, "targets_gpu", lambda: False)
    assert np.array_equal(found, proposals.suppress_overlaps(corners, scores, count, overlap))
    assert 0 < np.any(found, axis=2).sum() <= 2 * count


def test_a_bias_does_not_use_the_gradient_of_tensorflow_which_is_slow_on_gpus(gpu):
    features, bias = tf.random.normal((2, 3, 4, 5)), tf.random.normal((5,))

    @tf.function
    def gradients(features, bias):
        with tf.GradientTape() as tape:
            tape.watch([features, bias])
            loss = tf.reduce_sum(convolution.add_bias(features, bias) ** 2)
        return tape.gradient(loss, [features, bias])

    graph = gradients.get_concrete_function(features, bias).graph
    assert "BiasAddGrad" not in {operation.type for operation in graph.get_operations()}
    of_features, of_bias = gradients(features, bias)
    assert np.allclose(of_features, 2 * (features + bias), atol=1e-5)
    assert np.allclose(of_bias, tf.reduce_sum(2 * (features + bias), (0, 1, 2)), atol=1e-4)


def test_with_determinism_the_gradient_of_crops_is_computed_on_the_cpu(gpu, monkeypatch):
    monkeypatch.setattr(roi_pooling, "is_deterministic", lambda: True)
    rng = np.random.default_rng(0)
    features = tf.constant(rng.random((2, 12, 16, 3)), tf.float32)
    regions = tf.constant(np.sort(rng.random((5, 2, 2)), axis=1).reshape(5, 4), tf.float32)
    images = tf.constant([0, 1, 1, 0, 1])

    @tf.function
    def crops(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            cropped = roi_pooling.crop_and_resize(features, regions, images, 7)
        return cropped, tape.gradient(cropped, features, cropped)

    found = crops(features)
    nodes = crops.get_concrete_function(features).graph.get_operations()
    assert {node.device for node in nodes if node.type == "CropAndResizeGradImage"} == {"/device:CPU:0"}
    monkeypatch.setattr(roi_pooling, "targets_gpu", lambda: False)
    expected = tf.function(crops.python_function)(features)
    for mine, plain in zip(found, expected, strict=True):
        assert np.allclose(mine, plain, atol=1e-6)


def test_determinism_enabled_by_the_caller_is_respected(monkeypatch):
    from tensorflow.python.framework import config

    from mrcnn.ops.gradients import is_deterministic

    assert not is_deterministic()
    monkeypatch.setattr(config, "is_op_determinism_enabled", lambda: True)
    assert is_deterministic()
