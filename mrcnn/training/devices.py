"""Distribution of training over GPU_COUNT devices by TensorFlow's MirroredStrategy."""

import contextlib
import functools
import logging
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from mrcnn.config import Config

log = logging.getLogger(__name__)


def devices_for(config: Config) -> list[str]:
    """Return the names of GPU_COUNT GPUs, or, with a warning, of all if there are fewer."""
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if len(devices) < config.GPU_COUNT:
        log.warning(
            "GPU_COUNT is %d, but %d GPUs are available: they share the %d images of a step",
            config.GPU_COUNT, len(devices), config.BATCH_SIZE,
        )  # fmt: skip
    return devices[: config.GPU_COUNT]


def scope(config: Config) -> AbstractContextManager[Any]:
    """Return the context to build a training network in: none for one device or if the caller has set a strategy.

    Raises:
        ValueError: the number of images of a step is not a multiple of the number of devices.
    """
    if config.GPU_COUNT == 1 or tf.distribute.has_strategy():
        return contextlib.nullcontext()
    devices = devices_for(config)
    if len(devices) < 2:
        return contextlib.nullcontext()
    if config.BATCH_SIZE % len(devices):
        raise ValueError(f"{config.BATCH_SIZE} images a step can't be shared equally by {len(devices)} GPUs")
    return _mirrored(tuple(devices)).scope()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """Return the only strategy for these devices; two would mix up gradients, as both number all-reduces from 1."""
    return tf.distribute.MirroredStrategy(devices)
