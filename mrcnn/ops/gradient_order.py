"""The order in which gradients are computed and summed: fixed where that saves memory or makes training repeatable."""

import keras
import tensorflow as tf


def after(first: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """The tensor [...] itself, but only once `first`, of any shape, is there.

    TensorFlow computes what it can as soon as it can: what depends on weights alone at the start of a step, where it
    would fill memory until it is used.
    """
    with tf.control_dependencies([first]):
        return tf.identity(tensor)


class InTurn(keras.layers.Layer):
    """Tensors unchanged, where the gradients of the first two wait for that of the third.

    Two heads whose gradients were computed at once would both hold their largest tensors at once.
    """

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """The same three tensors, [...] of any shapes."""
        return _in_turn(*inputs)

    def compute_output_spec(self, inputs):
        """The same three."""
        return tuple(keras.KerasTensor(each.shape, each.dtype) for each in inputs)


@tf.custom_gradient
def _in_turn(one: tf.Tensor, two: tf.Tensor, first: tf.Tensor):
    return tuple(map(tf.identity, (one, two, first))), lambda a, b, c: (after(c, a), after(c, b), c)


def enable_determinism() -> None:
    """Let every operation, and every sum of gradients, come out the same each time; for the rest of the process.

    TensorFlow's op determinism leaves out AddN, which adds three or more tensors in the order in which their buffers
    become free. `fork.Fork` and `losses.total` leave nothing but sums of two; the optimizer for arithmetic, which would
    put them together to AddN again, is switched off.
    """
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def is_deterministic() -> bool:
    """Whether operations must come out the same each time, by DETERMINISTIC or by the caller's own choice."""
    from tensorflow.python.framework import config  # as Keras does: TensorFlow's public API only switches it on

    return bool(config.is_op_determinism_enabled())


class Fork(keras.layers.Layer):
    """The same features twice, whose gradients are added two by two.

    TensorFlow adds three or more gradients in an order that depends on which of their buffers is free first, so that a
    sum would differ in its last bits from run to run, with op determinism too.
    """

    def call(self, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features [B, H, W, C] twice."""
        return _twice(features)

    def compute_output_spec(self, features):
        """Two of the same shape and dtype."""
        return (
            keras.KerasTensor(features.shape, features.dtype),
            keras.KerasTensor(features.shape, features.dtype),
        )


@tf.custom_gradient
def _twice(features: tf.Tensor):
    return (tf.identity(features), tf.identity(features)), lambda one, other: one + other
