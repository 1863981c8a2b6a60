"""Worker: our network, doing the work that `original` and `rival` do, on the same files."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks.turns import serve
from mrcnn.config import Config
from mrcnn.data.batches import BatchLoader
from mrcnn.data.dataset import Dataset
from mrcnn.model import MaskRCNN
from mrcnn.shapes.polygons import Ring
from mrcnn.training import LAYERS

IMAGES_A_REPETITION = 24
"""Of the input pipeline, whose images are too quick to be timed alone."""


class Pictures(Dataset):
    """The benchmark's images and their VIA 1 labels, as polygons."""

    def load(self, folder: Path, classes: list[str]) -> "Pictures":
        """Read `folder`/via_region_data.json; `classes` are the names without the background."""
        for number, name in enumerate(classes, start=1):
            self.add_class("via", number, name)
        for name, entry in sorted(json.loads((folder / "via_region_data.json").read_text()).items()):
            regions = list(entry["regions"].values())
            self.add_image("via", name, folder / name, regions=regions, names=classes)
        self.prepare()
        return self

    def polygons(self, image_id: int) -> tuple[list[list[Ring]], Any]:
        """A ring an instance, and class ids."""
        info = self.image_info[image_id]
        shapes = [region["shape_attributes"] for region in info["regions"]]
        rings = [[np.stack([s["all_points_x"], s["all_points_y"]], axis=1).astype(float)] for s in shapes]
        names = [region["region_attributes"]["name"] for region in info["regions"]]
        return rings, np.array([info["names"].index(name) + 1 for name in names], np.int32)


def main() -> None:
    """Serve one piece of work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=("heads", "all", "detect", "input", "positives"))
    parser.add_argument("--settings", required=True, help="JSON of the configuration's attributes")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    config = type("Settings", (Config,), json.loads(arguments.settings))()
    split = "val" if arguments.work == "detect" else "train"
    pictures = Pictures().load(arguments.data / split, arguments.classes.split(","))
    if arguments.work == "input":
        _serve_input(pictures, config)
    elif arguments.work == "detect":
        model = MaskRCNN("inference", config, "/tmp/mrcnn_runs")
        model.load_weights(arguments.weights, by_name=True)
        images = [pictures.load_image(number) for number in pictures.image_ids]
        serve(lambda number: images[number % len(images)], lambda image: _found(model.detect([image])[0]))
    elif arguments.work == "positives":
        print(_positives(pictures, config, arguments.weights))
    else:
        _serve_training(pictures, config, arguments.work, arguments.weights)


def _serve_input(pictures: Pictures, config: Config) -> None:
    stream = iter(BatchLoader(pictures, config, shuffle=False).batches(0))

    def pull(_: None) -> dict[str, int]:
        return {"images": sum(len(next(stream)[0]) for _ in range(IMAGES_A_REPETITION // config.BATCH_SIZE))}

    serve(lambda _: None, pull)


def _serve_training(pictures: Pictures, config: Config, layers: str, weights: Path) -> None:
    """Steps whose batches are made before the clock starts, as those of the original's `train_on_batch`."""
    model = MaskRCNN("training", config, "/tmp/mrcnn_runs")
    model.load_weights(weights, by_name=True)
    model.set_trainable(LAYERS[layers])
    model.compile(config.LEARNING_RATE, config.LEARNING_MOMENTUM)
    loader = BatchLoader(pictures, config, shuffle=False)
    # in a process of its own, since it would leave a hundred megabytes in this one's peak
    count = [sys.executable, "-m", "benchmarks.networks.ours", "positives", *sys.argv[2:]]
    positives = float(subprocess.run(count, stdout=subprocess.PIPE, check=True, text=True).stdout.split()[-1])

    def step(batch: list[Any]) -> dict[str, float]:
        loss = model.keras_model.train_on_batch(batch, return_dict=True)["loss"]
        return {"loss": float(loss), "positives": positives}

    serve(lambda number: list(loader.batch(number).arrays()), step)


def _positives(pictures: Pictures, config: Config, weights: Path) -> float:
    """Return how many positive regions an image gives to the first step."""
    import tensorflow as tf  # after mrcnn, which says how TensorFlow is to compute

    model = MaskRCNN("training", config, "/tmp/mrcnn_runs")
    model.load_weights(weights, by_name=True)
    class_ids = tf.function(lambda batch: model.keras_model(batch, training=False)["class_ids"])
    batch = list(BatchLoader(pictures, config, shuffle=False).batch(0).arrays())
    return float((class_ids(batch).numpy() > 0).sum() / config.BATCH_SIZE)


def _found(result: dict[str, Any]) -> dict[str, int]:
    return {"detections": int(result["masks"].shape[-1])}


if __name__ == "__main__":
    main()
