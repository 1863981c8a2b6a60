"""The name of matterport's class for several GPUs; its error message names the replacement."""

from typing import NoReturn


def ParallelModel(keras_model: object, gpu_count: int) -> NoReturn:  # noqa: N802  (matterport's name)
    """Raise NotImplementedError, whose message names the replacement."""
    raise NotImplementedError(
        "ParallelModel doesn't exist any more: set GPU_COUNT in the configuration, and MaskRCNN('training', …) uses "
        "that many GPUs by tf.distribute.MirroredStrategy"
    )
