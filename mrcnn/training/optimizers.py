"""The optimizers of training: momentum SGD and AdamW with fused updates."""

from typing import Any

import keras
import tensorflow as tf

from mrcnn.config import Config


def build_optimizer(config: Config, learning_rate: float, momentum: float | None = None) -> keras.optimizers.Optimizer:
    """Return the optimizer named by OPTIMIZER, with gradients clipped to a global norm of GRADIENT_CLIP_NORM.

    `sgd` has the given momentum (default: LEARNING_MOMENTUM); what matterport's code called clipnorm was the global
    norm, too. `adamw` decays kernels by WEIGHT_DECAY, but not biases, gamma and beta. With PRECISION float16 the loss
    is scaled, and steps with overflowing gradients are skipped.

    Raises:
        ValueError: OPTIMIZER is neither.
    """
    clip = config.GRADIENT_CLIP_NORM or None
    if config.OPTIMIZER == "sgd":
        momentum = config.LEARNING_MOMENTUM if momentum is None else momentum
        optimizer = FusedSGD(learning_rate, momentum=momentum, global_clipnorm=clip)
    elif config.OPTIMIZER == "adamw":
        optimizer = FusedAdamW(learning_rate, weight_decay=config.WEIGHT_DECAY, global_clipnorm=clip)
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    else:
        raise ValueError(f"Config.OPTIMIZER is {config.OPTIMIZER!r}; it must be sgd or adamw")
    return keras.optimizers.LossScaleOptimizer(optimizer) if config.PRECISION == "float16" else optimizer


class FusedSGD(keras.optimizers.SGD):
    """Momentum SGD as one operation: m ← momentum · m − rate · gradient; variable ← variable + m."""

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
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
    """AdamW (Loshchilov and Hutter 2019) as one operation; Keras applies the weight decay before it."""

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: tf.Tensor) -> None:
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
    """Return the resource handle of a Keras or TensorFlow variable, of a mirrored one that of this device."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
