"""A network trains and detects in every resize mode, and with one channel."""

import numpy as np
import pytest

from mrcnn.data.batches import BatchLoader
from mrcnn.model import MaskRCNN
from tests.mrcnn.street import Squares, TinyConfig


class OtherSize(Squares):
    """The same squares in images of another size (height, width) in pixels."""

    SIZE: tuple[int, int]

    def __init__(self, count):
        super().__init__(count)
        for info in self.image_info:
            info.update(height=self.SIZE[0], width=self.SIZE[1])


class Wide(OtherSize):
    """As large as BDD's."""

    SIZE = (720, 1280)

    def load_image(self, image_id):
        return np.kron(super().load_image(image_id), np.ones((12, 16, 1), np.uint8))

    def polygons(self, image_id):
        rings, class_ids = super().polygons(image_id)
        return [[ring * (16, 12) for ring in of_one] for of_one in rings], class_ids


class OfWholeCells(OtherSize):
    """Sizes for all modes; "none" does not change images."""

    SIZE = (64, 64)

    def load_image(self, image_id):
        return np.pad(super().load_image(image_id)[:, :64], ((0, 4), (0, 0), (0, 0)))


class Grey(Squares):
    def __init__(self, count):
        super().__init__(count, with_polygons=False)

    def load_image(self, image_id):
        return super().load_image(image_id)[..., 0]


MODES = {
    "square": (Squares, {"IMAGE_MIN_DIM": 48, "IMAGE_MAX_DIM": 64}, (64, 64)),
    "crop": (Squares, {"IMAGE_MIN_DIM": 64}, (64, 64)),
    "none": (OfWholeCells, {}, (64, 64)),
    "grey": (Grey, {"IMAGE_RESIZE_MODE": "square", "IMAGE_CHANNEL_COUNT": 1, "MEAN_PIXEL": [100.0]}, (64, 64)),
    "pad64": (Wide, {"IMAGE_MIN_DIM": 576, "IMAGE_MAX_DIM": 1024}, (576, 1024)),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_step_and_a_detection(mode, tmp_path):
    kind, settings, shape = MODES[mode]

    class Resized(TinyConfig):
        IMAGE_RESIZE_MODE = mode
        IMAGES_PER_GPU = 1
        STEPS_PER_EPOCH = 1
        DETECTION_MIN_CONFIDENCE = 0.0

    for name, value in settings.items():
        setattr(Resized, name, value)
    images = kind(3)
    assert BatchLoader(images, Resized()).batch(0).images.shape == (1, *shape, Resized.IMAGE_CHANNEL_COUNT)
    trained = MaskRCNN("training", Resized(), tmp_path)
    (row,) = trained.train(images, None, 1e-4, 1, "all").history
    assert np.isfinite(row["loss"])
    detector = MaskRCNN("inference", Resized(), tmp_path)
    detector.load_weights(trained.find_last())
    image = images.load_image(0)
    found = detector.detect([image])[0]
    assert found["masks"].shape == (*image.shape[:2], len(found["scores"]))
    assert len(found["scores"])
    assert (found["rois"] >= 0).all()
    assert (found["rois"][:, 2:] <= image.shape[:2]).all()
