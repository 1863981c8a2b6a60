"""Which devices a network is trained on: GPU_COUNT of them, by TensorFlow's MirroredStrategy.

What a replica computes is in `step` and `losses`; feeding the replicas is the loop's.
"""

import contextlib
import functools
import logging
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

log = logging.getLogger(__name__)


def devices_for(config: Any) -> list[str]:
    """Names of the GPUs that GPU_COUNT asks for, or of as many as there are, which is logged."""
    there = [device.name for device in tf.config.list_logical_devices("GPU")]
    if len(there) < config.GPU_COUNT:
        log.warning(
            "GPU_COUNT is %d and %d GPUs are there: these take all %d images of a step",
            config.GPU_COUNT, len(there), config.BATCH_SIZE,
        )  # fmt: skip
    return there[: config.GPU_COUNT]


def scope(config: Any) -> AbstractContextManager[Any]:
    """What to build a network for training in: a strategy of the caller's own has precedence, one device needs none.

    Raises:
        ValueError: the images of a step can't be shared equally among the devices.
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
    """The one strategy of these devices: each numbers its exchanges from 1, and two would mix up their gradients."""
    return tf.distribute.MirroredStrategy(devices)
