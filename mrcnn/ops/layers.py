"""Convolution and normalisation as the network uses them: frozen normalisation folded into the convolution before it.

Which layers stand where is said in backbones, fpn and heads.
"""

import functools
import logging

import keras
import tensorflow as tf

from mrcnn.ops.convolution import added, biased, convolution
from mrcnn.ops.processor import is_faster_in

log = logging.getLogger(__name__)

EPSILON = 1e-3
GROUPS = 32


class Convolution(keras.layers.Conv2D):
    """Conv2D that can take a frozen batch normalisation after it into its kernel.

    Scaling a kernel costs nothing beside scaling a feature map, forwards and backwards; the gradients of gamma
    and beta are the same. Weights are those of Conv2D.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        folded: "FrozenBatchNormalization | None" = None,
        **kwargs,
    ):
        """Convolve to `filters` channels; `folded` is the normalisation whose place this layer takes."""
        super().__init__(filters, kernel_size, **kwargs)
        # A tuple's content would be tracked as a sublayer, and its weights would be saved twice.
        self._folded = None if folded is None else (lambda: folded)

    def add_weight(self, *args, **kwargs):
        """Weights that are not cast by themselves: folding happens in float32, casting after it."""
        return super().add_weight(*args, autocast=False, **kwargs)

    def build(self, input_shape):
        """Create the weights, and those of the folded normalisation."""
        super().build(input_shape)
        if self._folded is not None and not self._folded().built:
            self._folded().build((None, None, None, self.filters))

    def call(self, features: tf.Tensor, padding: str | None = None) -> tf.Tensor:
        """Features [B, H, W, C] to [B, H', W', filters]; `padding` replaces the layer's own for this call."""
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        scale = None
        if self._folded is not None:
            normalisation = self._folded()
            scale = normalisation.scale()
            # not by the shift, whose third gradient of the scale would come in an order of chance (see fork)
            bias = (bias - normalisation.moving_mean.value) * scale + normalisation.beta.value
        features = convolution(features, kernel, scale, self.strides[0], padding or self.padding)
        return self.activation(biased(features, tf.cast(bias, self.compute_dtype)))


class ShortcutAdded(keras.layers.Layer):
    """A block's features and its shortcut, added."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """The sum [B, H, W, C] of two tensors of that shape."""
        return added(*inputs)

    def compute_output_shape(self, input_shape):
        """The same."""
        return input_shape[0]


class FrozenBatchNormalization(keras.layers.Layer):
    """Batch normalisation by its stored statistics in training too; gamma and beta still learn.

    With `folded` the convolution before it has already applied it, and the layer only holds the weights.
    """

    def __init__(self, folded: bool = False, **kwargs):
        """Normalise here, or leave it to the convolution before (`folded`)."""
        super().__init__(**kwargs)
        self._is_folded = folded

    def build(self, input_shape):
        """Create gamma, beta, moving_mean and moving_variance, each [channels] float32."""
        shape = (input_shape[-1],)
        kinds = (("gamma", "ones", True), ("beta", "zeros", True))
        kinds += (("moving_mean", "zeros", False), ("moving_variance", "ones", False))
        for name, initial, trainable in kinds:
            weight = self.add_weight(shape, initial, name=name, trainable=trainable, autocast=False, aggregation="mean")
            setattr(self, name, weight)

    def scale(self) -> tf.Tensor:
        """Scale [channels] float32 that normalising by the stored variance comes to."""
        return self.gamma.value * tf.math.rsqrt(self.moving_variance.value + EPSILON)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Features [..., channels] normalised, in their dtype; unchanged where the convolution has done it."""
        if self._is_folded:
            return features
        scale = self.scale()
        shift = self.beta.value - self.moving_mean.value * scale
        return features * tf.cast(scale, features.dtype) + tf.cast(shift, features.dtype)


class TrainedBatchNormalization(keras.layers.Layer):
    """Batch normalisation by the batch's statistics in training, by stored ones otherwise, as one fused operation."""

    def __init__(self, momentum: float = 0.99, always: bool = False, **kwargs):
        """Keep statistics with `momentum`; `always` uses the batch's own in inference too (TRAIN_BN=True)."""
        super().__init__(**kwargs)
        self.momentum, self.always = momentum, always

    build = FrozenBatchNormalization.build

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Features [B, H, W, channels] normalised over all but the last axis, in their dtype."""
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


def convolve(
    features,
    filters: int,
    kernel_size: int,
    name: str,
    normalisation_name: str | None,
    normalisation: str | None,
    momentum: float = 0.99,
    **convolution,
):
    """A convolution and its normalisation layer (if any) on a symbolic tensor; the activation is the caller's.

    Args:
        features: symbolic [B, H, W, C].
        filters: channels of the result.
        kernel_size: side of the kernel in pixels.
        name: the convolution's name.
        normalisation_name: the normalisation's name.
        normalisation: None, frozen, trained, always_trained or group.
        momentum: of trained statistics.
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
    """Keras' policy for Config.PRECISION: weights in float32, arithmetic in `precision` where that is faster."""
    if precision == "float32":
        return keras.DTypePolicy("float32")
    if not is_faster_in(precision):
        _say_that_float32_is_faster(precision)
        return keras.DTypePolicy("float32")
    return keras.DTypePolicy(f"mixed_{precision}")


@functools.cache  # once, not for each of a network's layers
def _say_that_float32_is_faster(precision: str) -> None:
    log.info("PRECISION is %s: computed in float32 all the same, in which this processor is faster", precision)
