"""A few steps on one or two logical CPUs, as a program: devices can't be divided once TensorFlow runs."""

import json
import sys
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import mrcnn  # noqa: F401
from mrcnn.training import devices as own
from tests.mrcnn.conftest import TinyConfig, make_batch


class Undrawn(TinyConfig):
    """Without randomness: input regions, all of them sampled, and frozen statistics."""

    GPU_COUNT = 2
    IMAGES_PER_GPU = 4  # of the whole batch: make_batch knows no devices
    NORMALISATION = "frozen"
    FPN_NORMALISATION = None
    USE_RPN_ROIS = False
    POST_NMS_ROIS_TRAINING = 4
    ROI_GROUND_TRUTH_COPIES = 1
    ROI_POSITIVE_RATIO = 0.99
    OPTIMIZER = "sgd"


def batch() -> list[np.ndarray]:
    """Return four images with regions a little larger than their objects' boxes."""
    parts = make_batch(Undrawn(), 64, 96)
    return [*parts, parts[5][:, :4] + np.int32([0, 0, 3, 3])]


def model_of(strategy: tf.distribute.Strategy):
    """Return the compiled network for `strategy`, with the same weights each time."""
    from mrcnn import network

    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = network.training_network(Undrawn())
        model.compile(optimizer=keras.optimizers.SGD(1e-3, momentum=0.9, global_clipnorm=5.0), jit_compile=False)
    return model


def stepwise(model, strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> list[dict[str, float]]:
    """Return the losses of three steps by the train function that `mrcnn.training` uses."""
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)
    steps = iter(strategy.experimental_distribute_dataset(batches) if strategy.num_replicas_in_sync > 1 else batches)
    model.make_train_function()
    rows = []
    for _ in range(3):
        model.reset_metrics()
        rows.append({name: float(value) for name, value in model.train_function(steps).items()})
    return rows


def fitted(model, batches: tf.data.Dataset) -> list[dict[str, float]]:
    """The losses of three steps by Keras' `fit`."""
    history = model.fit(batches, epochs=3, steps_per_epoch=1, verbose=0).history
    return [{name: values[step] for name, values in history.items()} for step in range(3)]


def trained(devices: int) -> list[dict[str, float]]:
    """The losses of `MaskRCNN.train` on 4 images a step: heads, then all layers; then all layers of another model."""
    from mrcnn.model import MaskRCNN
    from tests.mrcnn.street import Squares

    class Shared(Undrawn):
        GPU_COUNT = devices
        IMAGES_PER_GPU = 4 // devices
        IMAGE_RESIZE_MODE = "square"
        IMAGE_MAX_DIM = 64
        USE_RPN_ROIS = True
        POST_NMS_ROIS_TRAINING = 8
        STEPS_PER_EPOCH = 2
        WARMUP_STEPS = 0
        LEARNING_RATE_SCHEDULE = "constant"

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for stages in (("heads", "all"), ("all",)):
            keras.utils.set_random_seed(0)
            model = MaskRCNN("training", Shared(), folder)
            assert model.keras_model.distribute_strategy.num_replicas_in_sync == devices
            for epoch, layers in enumerate(stages, start=1):
                rows.append(dict(model.train(Squares(3), None, 1e-3, epoch, layers).history[-1]))
    return [{name: value for name, value in row.items() if "loss" in name} for row in rows]


def main(work: str, devices: int) -> None:
    """Print the number of devices and the losses of `work` (steps or train) as JSON."""
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    # GPU_COUNT asks for GPUs; here the two halves of the CPU take their part
    own.devices_for = lambda config: ["CPU:0", "CPU:1"][: config.GPU_COUNT]
    print(json.dumps([devices, *trained(devices)] if work == "train" else stepped(devices)))


def stepped(devices: int) -> list[Any]:
    """Return the number of devices, the losses of three steps of the loop, and of three steps of `fit`."""
    strategy = tf.distribute.get_strategy()
    if devices > 1:
        with own.scope(Undrawn()):
            strategy = tf.distribute.get_strategy()
    batches = tf.data.Dataset.from_tensor_slices((tuple(batch()),)).batch(4).repeat()
    model = model_of(strategy)
    weights = model.get_weights()
    rows = stepwise(model, strategy, batches)
    model.set_weights(weights)
    for variable in model.optimizer.variables:
        if "momentum" in variable.path or "iteration" in variable.path:
            variable.assign(np.zeros(variable.shape, variable.dtype))
    return [strategy.num_replicas_in_sync, *rows, *fitted(model, batches)]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
