"""A few steps on one or two logical CPUs, as a program: devices can't be divided once TensorFlow runs."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

import mrcnn  # noqa: F401
from tests.mrcnn.conftest import TinyConfig, make_batch


class Undrawn(TinyConfig):
    """No chance: regions come from outside, all are used, and statistics are frozen."""

    IMAGES_PER_GPU = 4
    NORMALISATION = "frozen"
    FPN_NORMALISATION = None
    USE_RPN_ROIS = False
    POST_NMS_ROIS_TRAINING = 4
    ROI_GROUND_TRUTH_COPIES = 1
    ROI_POSITIVE_RATIO = 0.99
    OPTIMIZER = "sgd"


def main(devices: int) -> None:
    """Print the losses of three steps as JSON."""
    from mrcnn import network

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if devices > 1 else tf.distribute.get_strategy()
    keras.utils.set_random_seed(0)
    batch = make_batch(Undrawn(), 64, 96)
    batch.append(batch[5][:, :4] + np.int32([0, 0, 3, 3]))
    with strategy.scope():
        model = network.training_network(Undrawn())
        model.compile(optimizer=keras.optimizers.SGD(1e-3, momentum=0.9, global_clipnorm=5.0), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    batches = tf.data.Dataset.from_tensor_slices((tuple(batch),)).batch(4).repeat()
    batches = iter(strategy.experimental_distribute_dataset(batches) if devices > 1 else batches)
    model.make_train_function()
    rows = []
    for _ in range(3):
        model.reset_metrics()
        rows.append({name: float(value) for name, value in model.train_function(batches).items()})
    print(json.dumps(rows))


if __name__ == "__main__":
    main(int(sys.argv[1]))
