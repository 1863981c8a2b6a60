"""The losses of a deterministic training of configuration B, as a program, since determinism can't be disabled."""

import json
import sys
from pathlib import Path

import keras

import mrcnn  # noqa: F401
from mrcnn.data.augmentation import Augmentation
from tests.mrcnn.memory import ConfigurationB, Large


class Deterministic(ConfigurationB):
    DETERMINISTIC = True
    STEPS_PER_EPOCH = 4


class Begun(keras.callbacks.Callback):
    """Records the epochs that this process starts."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)


class Stop(keras.callbacks.Callback):
    """Ends the process during the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            sys.exit()


def main(folder: Path, threads: int, how: str) -> None:
    """Print the epochs started and the losses of all epochs, of a whole or a resumed training.

    Of one that is stopped, nothing.
    """
    from mrcnn.model import MaskRCNN

    config = Deterministic()
    config.LOADER_THREADS = threads
    keras.utils.set_random_seed(0)
    learner = MaskRCNN("training", config, folder)
    data, augmentation = Large(12), Augmentation(flip=0.5, brightness=0.2)
    begun = Begun()
    callbacks = [begun, Stop()] if how == "stopped" else [begun]
    result = learner.train(data, None, 1e-4, 3, "all", augmentation, callbacks, resume=how == "resumed")
    curve = [{**row, "seconds": 0} for row in result.history]
    print(json.dumps({"begun": begun.epochs, "curve": curve}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
