"""The same losses bit for bit, every time."""

import tensorflow as tf


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
