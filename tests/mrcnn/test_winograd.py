"""Minimal filtering gives what convolution by its definition gives, forwards and backwards."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn import arithmetic, winograd
from mrcnn.layers import precision_policy

SHAPES = [(1, 4, 4), (1, 1, 1), (2, 7, 5), (3, 14, 14), (1, 9, 16), (1, 3, 30), (3, 9, 3)]


@pytest.fixture(autouse=True)
def a_cpu(monkeypatch):
    """As on a machine without a GPU, also where there is one."""
    monkeypatch.setattr(arithmetic, "on_a_cpu", lambda: True)


@pytest.mark.parametrize("at_once", [1024, 5], ids=["one strip", "strips"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
def test_results_and_gradients_are_those_of_the_definition(shape, known, at_once, monkeypatch):
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", at_once)
    features, kernel = _normal((*shape, 6), 1), _normal((3, 3, 6, 5), 2)
    upstream = _normal((*shape, 5), 3)
    with tf.GradientTape() as tape:
        tape.watch([features, kernel])
        expected = tf.nn.conv2d(features, kernel, 1, "SAME")
    expected_gradients = tape.gradient(expected, [features, kernel], upstream)

    def filtered(features, kernel, upstream):
        return winograd.convolve_3x3(features, kernel), *winograd.gradients(features, kernel, upstream)

    sizes = shape if known else (None, None, None)
    maps = [tf.TensorSpec((*sizes, channels)) for channels in (6, 5)]
    result, *gradients = tf.function(filtered, [maps[0], tf.TensorSpec((3, 3, 6, 5)), maps[1]])(
        features, kernel, upstream
    )
    assert np.allclose(result, expected, atol=1e-4)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert np.allclose(gradient, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_a_kernel_of_one_weight_moves_the_picture():
    picture = tf.reshape(tf.range(25.0), (1, 5, 5, 1))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 1] = 2.0  # what stands above, doubled
    moved = winograd.convolve_3x3(picture, tf.constant(kernel)).numpy()[0, :, :, 0]
    assert np.allclose(moved[0], 0.0, atol=1e-4)
    assert np.allclose(moved[1:], 2 * picture.numpy()[0, :-1, :, 0], atol=1e-4)


@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("side", [4, 24], ids=["small", "large"])
def test_a_wide_convolution_is_the_same_however_it_is_computed(known, side):
    features, kernel = _normal((1, side, side, arithmetic.WIDE), 1), _normal((3, 3, arithmetic.WIDE, 260), 2) / 30
    upstream = _normal((1, side, side, 260), 3)

    def both(features, upstream):
        results = []
        for convolve in (arithmetic.convolution, lambda f, k: tf.nn.conv2d(f, k, 1, "SAME")):
            with tf.GradientTape() as tape:
                tape.watch([features, kernel])
                convolved = convolve(features, kernel)
            results.append([convolved, *tape.gradient(convolved, [features, kernel], upstream)])
        return results

    sizes = (1, side, side) if known else (None, None, None)
    traced = tf.function(both, [tf.TensorSpec((*sizes, arithmetic.WIDE)), tf.TensorSpec((*sizes, 260))])
    kinds = _operations(traced.get_concrete_function())
    assert ("GatherV2" in kinds) == (not known or side == 24)
    assert ("If" in kinds or "StatelessIf" in kinds) == (not known)
    for ours, plain in zip(*traced(features, upstream), strict=True):
        assert np.allclose(ours, plain, atol=1e-4 * np.abs(plain).max())


def test_exported_graphs_hold_a_convolution_as_one_operation():
    kernel = _normal((3, 3, arithmetic.WIDE, arithmetic.WIDE), 1)
    traced = tf.function(lambda f: arithmetic.convolution(f, kernel), [tf.TensorSpec((1, 64, 64, arithmetic.WIDE))])
    with arithmetic.plain_operations():
        kinds = _operations(traced.get_concrete_function())
    assert "Conv2D" in kinds
    assert "GatherV2" not in kinds


def test_strips_are_as_even_as_can_be():
    grid = winograd._Grid(tf.zeros((1, 144, 256, 1)))
    assert (grid.strips, grid.rows_at_once) == (3, 12)


INTEL, AMD = "vendor_id\t: GenuineIntel\n", "vendor_id\t: AuthenticAMD\n"


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        (INTEL + "flags\t\t: fpu avx512f avx512_bf16", False),
        (INTEL + "flags\t\t: fpu avx512f avx512_bf16 amx_bf16", True),
        (AMD + "flags\t\t: fpu avx512f avx512_bf16", True),
        (AMD + "flags\t\t: fpu avx2", False),
    ],
)
def test_bfloat16_is_multiplied_as_such_only_where_that_is_fast(cpuinfo, fast):
    assert arithmetic.is_fast_in_bfloat16(cpuinfo) == fast


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_are_used_where_they_are_faster(monkeypatch, precision, fast, gpu):
    monkeypatch.setattr(arithmetic, "_has_fast_bfloat16", lambda: fast)
    monkeypatch.setattr(arithmetic, "on_a_cpu", lambda: not gpu)
    used = gpu or (fast and precision == "bfloat16")
    assert precision_policy(precision).compute_dtype == (precision if used else "float32")


def _normal(shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def _operations(function):
    """Kinds of operations in a function's graph and in the branches that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {node.op for node in nodes}
