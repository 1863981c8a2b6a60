"""Our network on this machine's GPU: images a second in training, with and without their input, and in detection.

Each variant is a process of its own, so that its peak of the GPU's memory is its own; the pictures are the sample's.
A step alone is one on a batch that is there; training has the whole input before it, flipped and brightened.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.sample_stages import inputs_of_dataset, up_to_via

WARM_UP = 5
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "ResNet-101 at 1024×1024, batch 1": {"BACKBONE": "resnet101", "IMAGES_PER_GPU": 1},
    "ResNet-101 at 576×1024, batch 2": {"BACKBONE": "resnet101", "IMAGES_PER_GPU": 2, "IMAGE_RESIZE_MODE": "pad64"},
    "ResNet-101 at 576×1024, batch 8": {"BACKBONE": "resnet101", "IMAGES_PER_GPU": 8, "IMAGE_RESIZE_MODE": "pad64"},
}
PRECISIONS = ("float32", "bfloat16")


def run(steps: int, scenes: int) -> None:
    """Print a line a variant: images a second and the peak of the GPU's memory."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name:
        archive = _sample(Path(name), scenes)
        print(_gpu())
        print(f"{'images a second':33} {'':9} {'a step alone':>12} {'training':>9} {'detection':>9} {'peak':>10}")
        for what, settings in CONFIGURATIONS.items():
            for precision in PRECISIONS:
                _print(what, precision, archive, settings | {"PRECISION": precision}, steps)


def _print(what: str, precision: str, archive: Path, settings: dict[str, Any], steps: int) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", str(archive), json.dumps(settings), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        print(f"{what:33} {precision:9} failed: {said[-1]}", flush=True)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{what:33} {precision:9} {found['step']:12.1f} {found['training']:9.1f} {found['detection']:9.1f} "
        f"{found['peak']:6.2f} GiB",
        flush=True,
    )


def _gpu() -> str:
    """Return the GPU's name; SystemExit where TensorFlow has none."""
    program = (
        "import mrcnn, tensorflow as tf; found = tf.config.list_physical_devices('GPU');"
        "print(tf.config.experimental.get_device_details(found[0])['device_name'] if found else '')"
    )
    name = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    if not name:
        raise SystemExit("TensorFlow has no GPU here: `make gpu` installs the libraries that it needs")
    return name


def _sample(folder: Path, scenes: int) -> Path:
    """Return an images.zip of so many scenes."""
    from pipeline import dataset

    chosen, at = up_to_via(folder, scenes, 8)
    dataset.build(chosen, **inputs_of_dataset(at), out=at["dataset_zip"])
    return at["dataset_zip"] / "images.zip"


def _measure(archive: Path, settings: dict[str, Any], steps: int) -> dict[str, float]:
    """Return images a second of a step alone, of training with its input, of detection; and the peak in GiB."""
    import tensorflow as tf

    from mrcnn.config import Config
    from pipeline.dataset.images_zip import ImagesZip
    from pipeline.training.data import ZipDataset

    gpu = tf.config.list_physical_devices("GPU")[0]
    tf.config.experimental.set_memory_growth(gpu, True)
    with ImagesZip(archive) as images, tempfile.TemporaryDirectory() as folder:
        names = images.class_names()
        config = type("Settings", (Config,), {"NAME": "bench", "NUM_CLASSES": 1 + len(names), **settings})()
        train, val = ZipDataset(images, "train", names), ZipDataset(images, "val", names)
        found = _training(config, train, steps, folder)
        found["detection"] = _detection(config, val, steps, folder)
    found["peak"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return found


def _training(config: Any, train: Any, steps: int, folder: str) -> dict[str, float]:
    """Return images a second of steps on one batch that is there, and of steps on batches as training takes them."""
    import tensorflow as tf

    from mrcnn.data.augmentation import Augmentation
    from mrcnn.data.batches import BatchLoader
    from mrcnn.model import MaskRCNN

    model = MaskRCNN("training", config, folder)
    model.set_trainable(".*", verbose=0)
    model.compile(config.LEARNING_RATE, config.LEARNING_MOMENTUM)
    keras_model = model.keras_model
    keras_model.make_train_function()
    loader = BatchLoader(train, config, True, Augmentation(flip=0.5, brightness=0.2))
    ready = tf.data.Dataset.from_tensors(loader.batch(0).arrays()).repeat()
    found = {}
    for what, batches in (("step", ready), ("training", loader.batches(0))):
        found[what] = config.BATCH_SIZE * _a_second(partial(keras_model.train_function, iter(batches)), _loss, steps)
    loader.close()
    return found


def _loss(logs: dict[str, Any]) -> float:
    return float(logs["loss"])  # which waits until the GPU has computed it


def _detection(config: Any, val: Any, steps: int, folder: str) -> float:
    """Return images a second from pixels to run lengths of masks in the image, a batch at a time."""
    from mrcnn.model import MaskRCNN

    config.DETECTION_MIN_CONFIDENCE = 0.0
    model = MaskRCNN("inference", config, folder)
    pixels = [val.load_image(number % len(val.image_ids)) for number in range(config.BATCH_SIZE)]
    return config.BATCH_SIZE * _a_second(partial(model.detect, pixels, masks="rle"), len, max(3, steps // 4))


def _a_second(work: Callable[[], Any], wait_for: Callable[[Any], Any], repetitions: int) -> float:
    """Return how often a second `work` is done, after a warm-up; `wait_for` a result returns when the GPU has it.

    Not step by step: the processor prepares steps while the GPU is at earlier ones, as in training.
    """
    for _ in range(WARM_UP):
        result = work()
    wait_for(result)
    start = time.perf_counter()
    for _ in range(repetitions):
        result = work()
    wait_for(result)
    return repetitions / (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))))
