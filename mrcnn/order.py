"""In which order TensorFlow computes what could be computed at any time: what takes much memory not at once.

Where sums are made in one order is the subject of fork.
"""

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
