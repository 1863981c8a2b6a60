"""The optimizer and the learning rate of every step, as the configuration wants them.

When a step is taken is `training`'s business; the L2 term of SGD is part of the loss and lives in `losses`.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    import keras


SCHEDULES = ("constant", "cosine")
LEAST_SHARE = 0.01
"""Of the peak learning rate, where the cosine ends."""


@dataclass(frozen=True)
class Schedule:
    """The learning rate over the steps `first_step` … `last_step` - 1, steps counted from the first epoch's first."""

    peak: float
    kind: str = "constant"
    """`constant`, or `cosine`: a half wave from the peak to a hundredth of it (Loshchilov and Hutter, SGDR, 2016)."""
    warmup_steps: int = 0
    """Steps over which the rate rises linearly to its peak; at most half of all."""
    first_step: int = 0
    last_step: int = 1

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(f"the learning rate schedule {self.kind!r} is not one of {', '.join(SCHEDULES)}")

    @property
    def changes(self) -> bool:
        """Whether any two steps differ."""
        return self.kind != "constant" or self.warmup_steps > 0

    def __call__(self, step: int) -> float:
        """Return the learning rate of `step`; before the first and after the last step, theirs."""
        done, total = step - self.first_step, max(1, self.last_step - self.first_step)
        warmup = min(self.warmup_steps, total // 2)
        if done < warmup:
            return self.peak * (max(done, 0) + 1) / warmup
        if self.kind == "constant":
            return self.peak
        share = min(1.0, (done - warmup) / max(1, total - warmup))
        wave = 0.5 * (1 + math.cos(math.pi * share))
        return self.peak * (LEAST_SHARE + (1 - LEAST_SHARE) * wave)


def build_optimizer(config: Any, learning_rate: float, momentum: float | None = None) -> "keras.optimizers.Optimizer":
    """Return the optimizer that OPTIMIZER names, gradients clipped to GRADIENT_CLIP_NORM as one vector.

    `sgd` with `momentum` (LEARNING_MOMENTUM), as the original: what it called clipnorm was the norm of all gradients
    together. `adamw` decays kernels by WEIGHT_DECAY, but neither biases nor normalisation (gamma, beta). With
    PRECISION float16 the loss is scaled, and steps whose gradients overflow are left out.

    Raises:
        ValueError: OPTIMIZER is neither.
    """
    import keras

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
