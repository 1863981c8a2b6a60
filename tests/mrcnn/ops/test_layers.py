"""The layers agree with Keras' layers of the same weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.network.fpn import Upsampling
from mrcnn.network.heads import MaskDeconvolution, MaskLogits
from mrcnn.ops.layers import Convolution, FrozenBatchNormalization, TrainedBatchNormalization


def randomised(layer, rng):
    for weight in layer.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def test_a_folded_normalisation_has_the_results_and_gradients_of_a_separate_one():
    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=(2, 5, 6, 3)), tf.float32)
    frozen = FrozenBatchNormalization(folded=True)
    folded = Convolution(4, 3, folded=frozen)
    plain, normalisation = keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(epsilon=1e-3)
    plain.build(features.shape)
    normalisation.build((None, None, None, 4))
    folded.build(features.shape)
    randomised(plain, rng)
    randomised(normalisation, rng)
    folded.set_weights(plain.get_weights())
    frozen.set_weights(normalisation.get_weights())
    variables = [*plain.trainable_variables, *normalisation.trainable_variables]
    ours = [*folded.trainable_variables, *frozen.trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        expected = normalisation(plain(features), training=False)
        found = frozen(folded(features), training=True)
        totals = tf.reduce_sum(expected**2), tf.reduce_sum(found**2)
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-4)
    pairs = zip(
        tape.gradient(totals[0], [v.value for v in variables]),
        tape.gradient(totals[1], [v.value for v in ours]),
        strict=True,
    )
    for wanted, got in pairs:
        assert got.numpy() == pytest.approx(wanted.numpy(), rel=1e-3, abs=1e-2)


def test_frozen_statistics_do_not_change_with_training_true():
    """Keras ignores training=False in a functional graph when the model is called with training=True."""
    image = keras.Input((4, 4, 2))
    frozen = FrozenBatchNormalization()
    model = keras.Model(image, frozen(image))
    before = [weight.numpy() for weight in frozen.weights]
    model(tf.random.normal((2, 4, 4, 2)), training=True)
    assert all((weight.numpy() == old).all() for weight, old in zip(frozen.weights, before, strict=True))
    assert {weight.name for weight in frozen.trainable_weights} == {"gamma", "beta"}


def test_trained_statistics_are_moving_averages():
    layer = TrainedBatchNormalization(momentum=0.75)
    features = tf.constant([[[[0.0]], [[4.0]]]])
    result = layer(features, training=True)
    assert layer.moving_mean.numpy() == pytest.approx([0.5])
    assert result.numpy().ravel() == pytest.approx([-1, 1], abs=1e-3)
    assert layer(features, training=False).numpy().ravel()[0] == pytest.approx(-0.5 / 1.5, rel=0.2)


def test_a_layer_that_is_not_trainable_uses_and_keeps_its_statistics():
    layer, features = TrainedBatchNormalization(momentum=0.75), tf.constant([[[[0.0]], [[4.0]]]])
    layer.build(features.shape)
    layer.trainable = False
    assert layer(features, training=True).numpy().ravel() == pytest.approx([0, 4], rel=1e-3)
    assert (layer.moving_mean.numpy(), layer.moving_variance.numpy()) == (0, 1)
    layer.trainable = True
    assert layer(features, training=True).numpy().ravel() == pytest.approx([-1, 1], abs=1e-3)
    assert layer.moving_mean.numpy() == pytest.approx([0.5])


def test_a_kernel_of_the_size_of_the_features_is_a_convolution():
    features = tf.random.normal((3, 7, 7, 2))
    ours, keras_own = Convolution(5, 7), keras.layers.Conv2D(5, 7)
    ours(features), keras_own(features)
    ours.set_weights(keras_own.get_weights())
    assert ours(features).numpy() == pytest.approx(keras_own(features).numpy(), abs=1e-4)


def test_the_mask_head_s_last_layers_are_a_transposed_and_a_1x1_convolution():
    features = tf.random.normal((2, 3, 4, 5))
    grow, logits = MaskDeconvolution(6), MaskLogits(3)
    keras_grow, keras_logits = (
        keras.layers.Conv2DTranspose(6, 2, strides=2, activation="relu"),
        keras.layers.Conv2D(3, 1),
    )
    expected = keras_logits(keras_grow(features))
    logits(grow(features))
    grow.set_weights(keras_grow.get_weights())
    logits.set_weights(keras_logits.get_weights())
    found = logits(grow(features))
    assert found.shape == expected.shape
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    of_class = logits(grow(features), class_ids=tf.constant([2, 0]))
    assert of_class.numpy()[0] == pytest.approx(expected.numpy()[0, :, :, 2], abs=1e-5)
    assert of_class.numpy()[1] == pytest.approx(expected.numpy()[1, :, :, 0], abs=1e-5)


def test_upsampling_repeats_pixels_and_sums_their_gradients():
    features = tf.Variable([[[[1.0], [2.0]]]])
    with tf.GradientTape() as tape:
        grown = Upsampling()(features)
        total = tf.reduce_sum(grown * tf.constant([[[[1.0], [2], [3], [4]], [[5.0], [6], [7], [8]]]]))
    assert grown.numpy()[0, :, :, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert tape.gradient(total, features).numpy().ravel().tolist() == [14, 22]


def test_errors_name_invalid_settings():
    class Wrong(Config):
        IMAGE_RESIZE_MODE = "stretch"

    with pytest.raises(ValueError, match="IMAGE_RESIZE_MODE is 'stretch'"):
        Wrong()
