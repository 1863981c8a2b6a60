"""Keras' SGD and AdamW, with each variable's update as one operation in place.

Keras writes an update as half a dozen operations. TensorFlow starts those that need no gradient, such as momentum times
its coefficient, while the forward pass still holds its activations: of a ResNet-101 they cost 255 MB at the peak.
"""

from typing import Any

import keras
import tensorflow as tf


class FusedSGD(keras.optimizers.SGD):
    """Momentum SGD: m ← momentum · m − rate · gradient; variable ← variable + m."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update `variable` and its momentum by a gradient of its shape."""
        if not self.momentum or self.nesterov:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(momentum),
            lr=tf.cast(learning_rate, tf.float32),
            grad=tf.convert_to_tensor(gradient),
            momentum=tf.constant(self.momentum, tf.float32),
        )


class FusedAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019); the decay is applied before, by Keras."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update `variable` and its two moments by a gradient of its shape."""
        index = self._get_variable_index(variable)
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, tf.float32)
        beta1, beta2 = tf.constant(self.beta_1, tf.float32), tf.constant(self.beta_2, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=beta1**step,
            beta2_power=beta2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=beta1,
            beta2=beta2,
            epsilon=tf.constant(self.epsilon, tf.float32),
            grad=tf.convert_to_tensor(gradient),
        )


def _handle(variable: Any) -> tf.Tensor:
    """The resource of a Keras or TensorFlow variable; of one spread over devices, this device's."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
