"""Small street datasets for tests of the input pipeline and of training."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mrcnn.config import NarrowConfig
from mrcnn.data.dataset import Dataset

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "golden_resnet50_128.npz"


class TinyConfig(NarrowConfig):
    """A network that takes a step in milliseconds."""

    NAME = "tiny"
    NUM_CLASSES = 3
    IMAGES_PER_GPU = 2
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    BACKBONE_WIDTH = 4
    TOP_DOWN_PYRAMID_SIZE = 8
    RPN_CHANNELS = 8
    FPN_CLASSIF_FC_LAYERS_SIZE = 16
    MASK_CHANNELS = 8
    STEPS_PER_EPOCH = 3
    VALIDATION_STEPS = 2
    WARMUP_STEPS = 0
    LEARNING_RATE_SCHEDULE = "constant"
    MAX_GT_INSTANCES = 8
    SEED = 7


class Squares(Dataset):
    """Images of 80×60 pixels with coloured rectangles; every fourth image is empty."""

    def __init__(self, count: int = 6, with_polygons: bool = True) -> None:
        super().__init__()
        self.with_polygons = with_polygons
        self.add_class("squares", 1, "red")
        self.add_class("squares", 2, "blue")
        for number in range(count):
            self.add_image("squares", f"{number}.png", None, width=80, height=60)
        self.prepare()

    def rectangles(self, image_id: int) -> list[tuple[int, int, int, int, int]]:
        """(class, y1, x1, y2, x2) in pixels."""
        if image_id % 4 == 3:
            return []
        rng = np.random.default_rng(image_id)
        corners = rng.integers([0, 0], [35, 50], (3, 2))
        return [(1 + k % 2, int(y), int(x), int(y) + 12 + 4 * k, int(x) + 16) for k, (y, x) in enumerate(corners)]

    def load_image(self, image_id: int) -> NDArray[np.uint8]:
        image = np.full((60, 80, 3), 90, np.uint8)
        for kind, y1, x1, y2, x2 in self.rectangles(image_id):
            image[y1:y2, x1:x2] = (200, 30, 30) if kind == 1 else (30, 30, 200)
        return image

    def encoded_image(self, image_id: int) -> bytes | None:
        return cv2.imencode(".png", self.load_image(image_id)[:, :, ::-1])[1].tobytes() if self.with_polygons else None

    def polygons(self, image_id: int) -> Any:
        if not self.with_polygons:
            return None
        found = self.rectangles(image_id)
        rings = [[np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)] for _, y1, x1, y2, x2 in found]
        return rings, np.array([kind for kind, *_ in found], np.int32)

    def load_mask(self, image_id: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
        found = self.rectangles(image_id)
        masks = np.zeros((60, 80, len(found)), bool)
        for number, (_, y1, x1, y2, x2) in enumerate(found):
            masks[y1:y2, x1:x2, number] = True
        return masks, np.array([kind for kind, *_ in found], np.int32)


def golden() -> dict[str, Any]:
    """The figures of the original."""
    with np.load(GOLDEN) as stored:
        return {name[7:]: stored[name] for name in stored.files if name.startswith("golden:")}
