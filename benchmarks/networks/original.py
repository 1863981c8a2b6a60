"""Worker: the original mrcnn (2.1, TensorFlow 1.15), under a Python 3.7 that has it. Arguments as in `ours`."""

import argparse
import json
import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import skimage.draw
from turns import serve

from mrcnn import model as modellib
from mrcnn import utils
from mrcnn.config import Config

HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"


class Pictures(utils.Dataset):
    """The benchmark's images and their VIA 1 labels."""

    def load(self, folder, classes):
        """Read `folder`/via_region_data.json; `classes` are the names without the background."""
        for number, name in enumerate(classes, start=1):
            self.add_class("via", number, name)
        with open(os.path.join(folder, "via_region_data.json")) as file:
            labelled = json.load(file)
        for name in sorted(labelled):
            self.add_image(
                "via", name, os.path.join(folder, name), regions=list(labelled[name]["regions"].values()), names=classes
            )
        self.prepare()
        return self

    def load_mask(self, image_id):
        """Masks [H, W, N] bool and class ids [N]."""
        info = self.image_info[image_id]
        masks = np.zeros((720, 1280, len(info["regions"])), bool)
        ids = []
        for number, region in enumerate(info["regions"]):
            shape = region["shape_attributes"]
            rows, columns = skimage.draw.polygon(shape["all_points_y"], shape["all_points_x"], masks.shape[:2])
            masks[rows, columns, number] = True
            ids.append(info["names"].index(region["region_attributes"]["name"]) + 1)
        return masks, np.array(ids, np.int32)


def main():
    """Serve one piece of work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=("heads", "all", "detect", "input"))
    parser.add_argument("--settings", required=True, help="JSON of the configuration's attributes")
    parser.add_argument("--data", required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    classes = arguments.classes.split(",")
    settings = {k: v for k, v in json.loads(arguments.settings).items() if hasattr(Config, k)}
    config = type("Settings", (Config,), settings)()
    pictures = Pictures().load(os.path.join(arguments.data, "val" if arguments.work == "detect" else "train"), classes)
    if arguments.work == "input":
        batches = modellib.data_generator(pictures, config, shuffle=False, batch_size=config.BATCH_SIZE)
        serve(lambda _: None, lambda _: _pull(batches, 8 // config.BATCH_SIZE))
        return
    mode = "inference" if arguments.work == "detect" else "training"
    model = modellib.MaskRCNN(mode, config, "/tmp/mrcnn_original_runs")
    model.load_weights(arguments.weights, by_name=True)
    if arguments.work == "detect":
        images = [pictures.load_image(number) for number in pictures.image_ids]
        serve(lambda number: images[number % len(images)], lambda image: _found(model.detect([image])[0]))
        return
    model.set_trainable(HEADS if arguments.work == "heads" else ".*", verbose=0)
    model.compile(config.LEARNING_RATE, config.LEARNING_MOMENTUM)
    batches = modellib.data_generator(pictures, config, shuffle=False, batch_size=config.BATCH_SIZE)
    serve(lambda _: next(batches), lambda batch: _stepped(model.keras_model.train_on_batch(*batch)))


def _pull(batches, count):
    images = sum(len(next(batches)[0][0]) for _ in range(count))
    return {"images": images}


def _found(result):
    return {"detections": int(result["masks"].shape[-1])}


def _stepped(losses):
    return {"loss": float(np.ravel(losses)[0])}


if __name__ == "__main__":
    main()
