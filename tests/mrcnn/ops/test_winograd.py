"""Winograd convolution and its gradients agree with TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.ops import winograd

SHAPES = [(1, 4, 4), (1, 1, 1), (2, 7, 5), (3, 14, 14), (1, 9, 16), (1, 3, 30), (3, 9, 3)]


@pytest.mark.parametrize("at_once", [1024, 5], ids=["one strip", "strips"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
def test_results_and_gradients_equal_those_of_tensorflow(shape, known, at_once, monkeypatch):
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", at_once)
    features, kernel = _normal((*shape, 6), 1), _normal((3, 3, 6, 5), 2)
    upstream = _normal((*shape, 5), 3)
    with tf.GradientTape() as tape:
        tape.watch([features, kernel])
        expected = tf.nn.conv2d(features, kernel, 1, "SAME")
    expected_gradients = tape.gradient(expected, [features, kernel], upstream)

    def filtered(features, kernel, upstream):
        gradients = winograd.features_gradient(kernel, upstream), winograd.kernel_gradient(features, upstream)
        return winograd.convolve_3x3(features, kernel), *gradients

    sizes = shape if known else (None, None, None)
    maps = [tf.TensorSpec((*sizes, channels)) for channels in (6, 5)]
    result, *gradients = tf.function(filtered, [maps[0], tf.TensorSpec((3, 3, 6, 5)), maps[1]])(
        features, kernel, upstream
    )
    assert np.allclose(result, expected, atol=1e-4)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert np.allclose(gradient, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("at_once", [1024, 5], ids=["one strip", "strips"])
@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
def test_a_pointwise_function_applied_in_strips_equals_that_of_the_whole(known, at_once, monkeypatch):
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", at_once)
    features, kernel, last = _normal((2, 9, 7, 6), 1), _normal((3, 3, 6, 5), 2), _normal((5, 3), 3)

    def finish(pixels):
        return tf.matmul(tf.nn.relu(pixels - 1.0), last)

    def finished(features, kernel):
        return winograd.convolve_3x3(features, kernel, (finish, 3))

    sizes = (2, 9, 7) if known else (None, None, None)
    result = tf.function(finished, [tf.TensorSpec((*sizes, 6)), tf.TensorSpec((3, 3, 6, 5))])(features, kernel)
    whole = tf.nn.conv2d(features, kernel, 1, "SAME")
    assert np.allclose(result, tf.reshape(finish(tf.reshape(whole, (-1, 5))), (2, 9, 7, 3)), atol=1e-3)


def test_a_kernel_with_one_weight_shifts_the_image():
    picture = tf.reshape(tf.range(25.0), (1, 5, 5, 1))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 1] = 2.0  # what stands above, doubled
    moved = winograd.convolve_3x3(picture, tf.constant(kernel)).numpy()[0, :, :, 0]
    assert np.allclose(moved[0], 0.0, atol=1e-4)
    assert np.allclose(moved[1:], 2 * picture.numpy()[0, :-1, :, 0], atol=1e-4)


def test_strips_have_equal_numbers_of_rows():
    grid = winograd._Grid(tf.zeros((1, 144, 256, 1)))
    assert (grid.strips, grid.rows_at_once) == (3, 12)


def _normal(shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype(np.float32))
