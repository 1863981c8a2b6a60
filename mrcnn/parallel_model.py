"""The original's class for several GPUs, of which only the name is left: a program that asks for it is told what to do.

Training on several devices is `strategy`'s subject.
"""

from typing import NoReturn


def ParallelModel(keras_model: object, gpu_count: int) -> NoReturn:  # noqa: N802  (the original's name)
    """Always raises NotImplementedError, which says what replaces it."""
    raise NotImplementedError(
        "ParallelModel doesn't exist any more: set GPU_COUNT in the configuration, and MaskRCNN('training', …) uses "
        "that many GPUs by tf.distribute.MirroredStrategy"
    )
