"""Order in which gradients are computed and summed: fixed to save memory and to make training deterministic."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def identity_after(first: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Return `tensor` [...], which becomes available only after `first`, of any shape: a control dependency.

    TensorFlow computes an operation as soon as its inputs are available. What depends on weights alone would be
    computed at the start of a step, and would fill memory until it is used.
    """
    with tf.control_dependencies([first]):
        return tf.identity(tensor)


class SequentialGradients(keras.layers.Layer):
    """Identity of three tensors; the gradients of the first two are computed after that of the third.

    Two heads whose gradients are computed at the same time would hold their largest tensors at the same time.
    """

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Return the three tensors [...] of any shapes."""
        return _sequential_gradients(*inputs)


@tf.custom_gradient
def _sequential_gradients(one: tf.Tensor, two: tf.Tensor, first: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
    def gradient(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return identity_after(c, a), identity_after(c, b), c

    return (tf.identity(one), tf.identity(two), tf.identity(first)), gradient


class Duplicate(keras.layers.Layer):
    """The same features twice, whose gradients are summed in pairs.

    TensorFlow sums three or more gradients in the order in which their buffers become free, so that the last bits of
    the sum differ from run to run, with op determinism too.
    """

    def call(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return features [B, H, W, C] twice."""
        return _duplicate(features)


@tf.custom_gradient
def _duplicate(features: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
    return (tf.identity(features), tf.identity(features)), lambda one, other: one + other


def enable_determinism() -> None:
    """Make every operation and every sum of gradients deterministic, for the rest of the process.

    TensorFlow's op determinism does not cover AddN, which sums three or more tensors in the order in which their
    buffers become free. `Duplicate` and `losses.total` leave only sums of two; the arithmetic optimizer, which would
    merge them into AddN again, is switched off.
    """
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def is_deterministic() -> bool:
    """Return whether op determinism is enabled, by DETERMINISTIC or by the caller."""
    from tensorflow.python.framework import config  # as Keras does: TensorFlow's public API can only enable it

    return bool(config.is_op_determinism_enabled())
