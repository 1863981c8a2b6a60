"""Keras layers for convolution and normalisation; frozen normalisation is folded into the preceding convolution."""

import functools
import logging
from typing import Any

import keras
import tensorflow as tf

from mrcnn.ops.convolution import add_bias, add_shortcut, convolution
from mrcnn.ops.processor import is_faster_in

log = logging.getLogger(__name__)

EPSILON = 1e-3
GROUPS = 32


class Convolution(keras.layers.Conv2D):
    """Conv2D with an optional frozen batch normalisation folded into its kernel.

    Scaling a kernel is much cheaper than scaling a feature map, in both passes; the gradients of gamma and beta are the
    same. Weights are those of Conv2D.
    """

    def __init__(
        self, filters: int, kernel_size: int, folded: "FrozenBatchNormalization | None" = None, **kwargs: Any
    ) -> None:
        """Convolve to `filters` channels, and apply the normalisation `folded` too."""
        super().__init__(filters, kernel_size, **kwargs)
        # A function, since Keras would track an attribute as a sublayer and save its weights twice.
        self._folded = None if folded is None else (lambda: folded)

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Create a weight without autocast: folding is computed in float32, and its result is cast."""
        return super().add_weight(*args, autocast=False, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the weights, and those of the folded normalisation."""
        super().build(input_shape)
        if self._folded is not None and not self._folded().built:
            self._folded().build((None, None, None, self.filters))

    def call(self, features: tf.Tensor, padding: str | None = None) -> tf.Tensor:
        """Convolve features [B, H, W, C] to [B, H', W', filters]; `padding` overrides the layer's for this call."""
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        scale = None
        if self._folded is not None:
            normalisation = self._folded()
            scale = normalisation.scale()
            # not beta − mean · scale, which would give `scale` a third gradient, summed in random order (`Duplicate`)
            bias = (bias - normalisation.moving_mean.value) * scale + normalisation.beta.value
        features = convolution(features, kernel, scale, self.strides[0], padding or self.padding)
        return self.activation(add_bias(features, tf.cast(bias, self.compute_dtype)))


class AddShortcut(keras.layers.Layer):
    """Sum of a residual block's features and its shortcut."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return the sum [B, H, W, C] of two tensors of that shape."""
        return add_shortcut(*inputs)


class FrozenBatchNormalization(keras.layers.Layer):
    """Batch normalisation with stored statistics in training too; gamma and beta are trainable.

    With `folded` the preceding convolution applies it, and this layer only holds the weights.
    """

    def __init__(self, folded: bool = False, **kwargs: Any) -> None:
        """Normalise, or return the features unchanged with `folded`."""
        super().__init__(**kwargs)
        self._is_folded = folded

    def build(self, input_shape: Any) -> None:
        """Create gamma, beta, moving_mean and moving_variance, each [channels] float32."""
        shape = (input_shape[-1],)
        initial_values = {"gamma": "ones", "beta": "zeros", "moving_mean": "zeros", "moving_variance": "ones"}
        for name, initial in initial_values.items():
            trainable = name in ("gamma", "beta")
            weight = self.add_weight(shape, initial, name=name, trainable=trainable, autocast=False, aggregation="mean")
            setattr(self, name, weight)

    def scale(self) -> tf.Tensor:
        """Return the factor [channels] float32: gamma over the stored standard deviation."""
        return self.gamma.value * tf.math.rsqrt(self.moving_variance.value + EPSILON)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Return features [..., channels] normalised, in their dtype."""
        if self._is_folded:
            return features
        scale = self.scale()
        shift = self.beta.value - self.moving_mean.value * scale
        return features * tf.cast(scale, features.dtype) + tf.cast(shift, features.dtype)


class TrainedBatchNormalization(keras.layers.Layer):
    """Batch normalisation with the batch's statistics in training, with stored ones otherwise, as a fused operation."""

    def __init__(self, momentum: float = 0.99, always: bool = False, **kwargs: Any) -> None:
        """Update statistics with `momentum`; `always` uses the batch's own in inference too (TRAIN_BN=True)."""
        super().__init__(**kwargs)
        self.momentum, self.always = momentum, always

    build = FrozenBatchNormalization.build

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return features [B, H, W, channels] normalised over all but the last axis, in their dtype."""
        by_batch = (training and self.trainable) or self.always
        gamma, beta = self.gamma.value, self.beta.value
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if not by_batch:
            result = tf.compat.v1.nn.fused_batch_norm(features, gamma, beta, mean, variance, EPSILON, is_training=False)
            return result[0]
        features, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(features, gamma, beta, epsilon=EPSILON)
        self.moving_mean.assign(mean + (batch_mean - mean) * (1 - self.momentum))
        self.moving_variance.assign(variance + (batch_variance - variance) * (1 - self.momentum))
        return features


def conv_norm(
    features: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    normalisation_name: str | None,
    normalisation: str | None,
    momentum: float = 0.99,
    **convolution: Any,
) -> keras.KerasTensor:
    """Apply a convolution and a normalisation layer, if any, to a symbolic tensor.

    Args:
        features: symbolic [B, H, W, C].
        filters: channels of the result.
        kernel_size: side of the kernel in pixels.
        name: the convolution's name.
        normalisation_name: the normalisation's name.
        normalisation: None, frozen, trained, always_trained or group.
        momentum: of the moving statistics.
        **convolution: further arguments of Conv2D, such as strides, padding and dtype.
    """
    dtype = convolution.get("dtype")
    if normalisation is None:
        return Convolution(filters, kernel_size, name=name, **convolution)(features)
    if normalisation == "frozen":
        frozen = FrozenBatchNormalization(folded=True, name=normalisation_name, dtype=dtype)
        return frozen(Convolution(filters, kernel_size, folded=frozen, name=name, **convolution)(features))
    features = Convolution(filters, kernel_size, name=name, **convolution)(features)
    if normalisation == "group":
        groups = next(n for n in range(min(GROUPS, filters), 0, -1) if filters % n == 0)
        return keras.layers.GroupNormalization(groups, name=normalisation_name, dtype=dtype)(features)
    always = normalisation == "always_trained"
    return TrainedBatchNormalization(momentum, always, name=normalisation_name, dtype=dtype)(features)


def precision_policy(precision: str) -> keras.DTypePolicy:
    """Return Keras' policy for Config.PRECISION: float32 weights, arithmetic in `precision` where that is faster."""
    if precision == "float32":
        return keras.DTypePolicy("float32")
    if not is_faster_in(precision):
        _log_that_float32_is_faster(precision)
        return keras.DTypePolicy("float32")
    return keras.DTypePolicy(f"mixed_{precision}")


@functools.cache  # once, not for each of a network's layers
def _log_that_float32_is_faster(precision: str) -> None:
    log.info("PRECISION is %s, but float32 is used: it is faster on this processor", precision)
