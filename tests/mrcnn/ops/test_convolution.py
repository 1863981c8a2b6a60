"""Convolutions and their gradients have the same values with all algorithms."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.ops import convolution as convolutions
from mrcnn.ops import processor
from mrcnn.ops.layers import precision_policy


@pytest.fixture(autouse=True)
def a_cpu(monkeypatch):
    """Behave as without a GPU."""
    monkeypatch.setattr(convolutions, "runs_on_cpu", lambda: True)


CONVOLUTIONS = {
    "1 × 1": ((2, 5, 6), (1, 1, 4, 3), 1, "same"),
    "3 × 3": ((2, 5, 6), (3, 3, 4, 3), 1, "same"),
    "1 × 1, stride 2": ((2, 5, 6), (1, 1, 4, 3), 2, "same"),
    "1 × 1, stride 2, inside": ((2, 5, 6), (1, 1, 4, 3), 2, "valid"),
    "stride 2": ((2, 5, 6), (3, 3, 4, 3), 2, "same"),
    "inside": ((2, 5, 6), (3, 3, 4, 3), 1, "valid"),
    "one window": ((2, 7, 7), (7, 7, 4, 3), 1, "valid"),
    "large and wide": ((2, 5, 6), (3, 3, 4, 4), 1, "same"),
}


@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("is_scaled", [True, False], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_results_and_gradients_equal_those_of_tensorflow(convolution, is_scaled, known, monkeypatch):
    shape, window, stride, padding = CONVOLUTIONS[convolution]
    monkeypatch.setattr(convolutions, "WINOGRAD_CHANNELS", 4)
    monkeypatch.setattr(convolutions, "WINOGRAD_PIXELS", 50)
    features, kernel = _normal((*shape, 4), 1), _normal(window, 2)
    scales = [_normal(window[3:], 3)] * is_scaled

    def by_definition(features, kernel, *scales):
        return tf.nn.conv2d(features, kernel * scales[0] if scales else kernel, stride, padding.upper())

    def ours(features, kernel, *scales):
        return convolutions.convolution(features, kernel, scales[0] if scales else None, stride, padding)

    upstream = _normal(by_definition(features, kernel, *scales).shape, 4)
    sizes = shape if known else (None, None, None)

    def results(convolve):
        @tf.function(input_signature=[tf.TensorSpec((*sizes, 4))])
        def traced(features):
            with tf.GradientTape() as tape:
                tape.watch([features, kernel, *scales])
                convolved = convolve(features, kernel, *scales)
            return [convolved, *tape.gradient(convolved, [features, kernel, *scales], upstream)]

        return traced(features)

    for found, expected in zip(results(ours), results(by_definition), strict=True):
        assert np.allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_1x1_convolutions_have_no_stride():
    """oneDNN's gradient of a strided 1×1 kernel writes beyond its memory for few channels."""
    kernel = _normal((1, 1, 4, 8), 1)
    traced = tf.function(lambda f: convolutions.convolution(f, kernel, stride=2), [tf.TensorSpec((1, 16, 16, 4))])
    operations = traced.get_concrete_function().graph.get_operations()
    (convolution,) = (each for each in operations if each.type == "Conv2D")
    assert convolution.get_attr("strides") == [1, 1, 1, 1]
    assert convolution.outputs[0].shape == (1, 8, 8, 8)


def test_the_scaled_kernel_is_not_kept_for_the_gradients():
    kernel, scale = _normal((3, 3, 8, 8), 1), _normal((8,), 2)

    def gradients(features, kernel, scale):
        with tf.GradientTape() as tape:
            tape.watch([features, kernel, scale])
            convolved = convolutions.convolution(features, kernel, scale)
        return tape.gradient(convolved, [features, kernel, scale])

    specs = [tf.TensorSpec((2, 6, 6, 8)), tf.TensorSpec(kernel.shape), tf.TensorSpec(scale.shape)]
    graph = tf.function(gradients).get_concrete_function(*specs).graph
    (forwards,) = (each for each in graph.get_operations() if each.type == "Conv2D")
    (backwards,) = (each for each in graph.get_operations() if each.type == "Conv2DBackpropInput")
    assert forwards.inputs[1].op is not backwards.inputs[1].op
    again = next(each.op for each in backwards.inputs[1].op.inputs if each.op.type == "Identity")
    assert again.control_inputs  # else TensorFlow would find that it was computed before


@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("side", [4, 24], ids=["small", "large"])
def test_winograd_and_tensorflow_agree_for_wide_convolutions(known, side):
    features, kernel = (
        _normal((1, side, side, convolutions.WINOGRAD_CHANNELS), 1),
        _normal((3, 3, convolutions.WINOGRAD_CHANNELS, 260), 2) / 30,
    )
    upstream = _normal((1, side, side, 260), 3)

    def both(features, upstream):
        results = []
        for convolve in (convolutions.convolution, lambda f, k: tf.nn.conv2d(f, k, 1, "SAME")):
            with tf.GradientTape() as tape:
                tape.watch([features, kernel])
                convolved = convolve(features, kernel)
            results.append([convolved, *tape.gradient(convolved, [features, kernel], upstream)])
        return results

    sizes = (1, side, side) if known else (None, None, None)
    traced = tf.function(both, [tf.TensorSpec((*sizes, convolutions.WINOGRAD_CHANNELS)), tf.TensorSpec((*sizes, 260))])
    kinds = _operations(traced.get_concrete_function())
    assert ("GatherV2" in kinds) == (not known or side == 24)
    assert ("If" in kinds or "StatelessIf" in kinds) == (not known)
    for ours, plain in zip(*traced(features, upstream), strict=True):
        assert np.allclose(ours, plain, atol=1e-4 * np.abs(plain).max())


def test_exported_graphs_hold_a_convolution_as_one_operation():
    kernel = _normal((3, 3, convolutions.WINOGRAD_CHANNELS, convolutions.WINOGRAD_CHANNELS), 1)
    traced = tf.function(
        lambda f: convolutions.convolution(f, kernel), [tf.TensorSpec((1, 64, 64, convolutions.WINOGRAD_CHANNELS))]
    )
    with convolutions.portable_operations():
        kinds = _operations(traced.get_concrete_function())
    assert "Conv2D" in kinds
    assert "GatherV2" not in kinds


INTEL, AMD = "vendor_id\t: GenuineIntel\n", "vendor_id\t: AuthenticAMD\n"


@pytest.mark.parametrize(
    ("facts", "fast", "narrow"),
    [
        (INTEL + "flags\t\t: fpu avx512f avx512_bf16", False, False),
        (INTEL + "flags\t\t: fpu avx512f avx512_bf16 amx_bf16", True, False),
        (AMD + "flags\t\t: fpu avx512f avx512_bf16", True, False),
        (AMD + "flags\t\t: fpu avx2", False, True),
        ("Features\t: fp asimd", False, False),
        ("", False, False),
    ],
)
def test_properties_of_processors(facts, fast, narrow):
    assert processor.is_fast_in_bfloat16(facts) == fast
    assert processor.lacks_avx512(facts) == narrow


def _gradients(function, one, two):
    """The result of a function of two tensors, and the gradients of both for an upstream of twice the first."""
    with tf.GradientTape() as tape:
        tape.watch([one, two])
        result = function(one, two)
    return [result, *tape.gradient(result, [one, two], 2 * one)]


@pytest.mark.parametrize("is_exported", [True, False])
@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
def test_a_shortcut_is_not_fused_with_the_convolution_if_that_is_slow(known, narrow, is_exported, monkeypatch):
    monkeypatch.setattr(convolutions, "lacks_avx512", lambda _: narrow)
    one, two = _normal((2, 3, 4, 5), 1), _normal((2, 3, 4, 5), 2)
    sizes = tf.TensorSpec((2, 3, 4, 5) if known else (None, None, None, 5))
    traced = tf.function(convolutions.add_shortcut, [sizes, sizes])
    with convolutions.portable_operations() if is_exported else contextlib.nullcontext():
        assert ("Reshape" in _operations(traced.get_concrete_function())) == (narrow and not is_exported)
    for found, expected in zip(_gradients(traced, one, two), (one + two, 2 * one, 2 * one), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("narrow", [True, False])
def test_the_gradient_of_a_bias_is_not_fused_with_that_of_the_kernel_if_that_is_slow(narrow, monkeypatch):
    monkeypatch.setattr(convolutions, "lacks_avx512", lambda _: narrow)
    features, bias = _normal((2, 3, 4, 5), 1), _normal((5,), 2)
    traced = tf.function(lambda one, two: _gradients(convolutions.add_bias, one, two))
    assert ("BiasAddGrad" in _operations(traced.get_concrete_function(features, bias))) == (not narrow)
    expected = (features + bias, 2 * features, tf.reduce_sum(2 * features, (0, 1, 2)))
    for found, wanted in zip(traced(features, bias), expected, strict=True):
        assert np.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bit_precision_is_used_if_it_is_faster(monkeypatch, precision, fast, gpu):
    monkeypatch.setattr(processor, "is_fast_in_bfloat16", lambda _: fast)
    monkeypatch.setattr(processor, "runs_on_cpu", lambda: not gpu)
    used = gpu or (fast and precision == "bfloat16")
    assert precision_policy(precision).compute_dtype == (precision if used else "float32")


def _normal(shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def _operations(function):
    """Kinds of operations in a function's graph and in the branches that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {node.op for node in nodes}
