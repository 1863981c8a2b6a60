"""A finished `images.zip` as the dataset that `mrcnn` trains on: bytes and polygons straight from the archive."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrcnn.data.dataset import Dataset
from pipeline.dataset.images_zip import ImageRecord, ImagesZip
from pipeline.labels.splits import draw, repeat_factors

SOURCE = "via"


class ZipDataset(Dataset):
    """One split of an `images.zip`; class numbers follow `class_names`, crowds and ignored instances are negative.

    Its images are `records`, by default each image of the split once; one that is there twice is seen twice an epoch.
    """

    upright = True

    def __init__(
        self,
        archive: ImagesZip,
        split: str,
        class_names: Sequence[str],
        records: Sequence[ImageRecord] | None = None,
    ) -> None:
        super().__init__()
        self._archive = archive
        self.records: tuple[ImageRecord, ...] = archive.records(split) if records is None else tuple(records)
        for number, name in enumerate(class_names, start=1):
            self.add_class(SOURCE, number, name)
        for record in self.records:
            self.add_image(SOURCE, record.image, None, width=record.width, height=record.height)
        self._numbers = {name: number for number, name in enumerate(class_names, start=1)}
        self.prepare()

    def image_reference(self, image_id: int) -> str:
        """Return the image's path in the archive."""
        return self.records[image_id].member

    def encoded_image(self, image_id: int) -> bytes:
        """Return the image file's bytes; raises ArchiveError when they are damaged."""
        return self._archive.read(self.records[image_id])

    def load_image(self, image_id: int) -> NDArray[np.uint8]:
        """Return the image, [H, W, 3] uint8 RGB."""
        return self._archive.pixels(self.records[image_id])

    def polygons(self, image_id: int) -> tuple[list[list[NDArray[np.floating]]], NDArray[np.int32]]:
        """Return each instance's rings, (x, y) in pixels, and the class ids [N] int32 (negative: a crowd)."""
        instances = self.records[image_id].instances
        ids = [
            -self._numbers[each.category] if each.crowd or each.ignored else self._numbers[each.category]
            for each in instances
        ]
        return [list(each.rings) for each in instances], np.array(ids, np.int32)


def balanced(records: Sequence[ImageRecord], threshold: float, seed: int) -> list[ImageRecord]:
    """Return the records, each as often in a row as `training.balance` = `threshold` has it seen an epoch.

    Crowds and ignored instances, which nothing is learnt from, make no image rare.
    """
    categories = [
        {each.category for each in record.instances if not (each.crowd or each.ignored)} for record in records
    ]
    times = repeats([record.image for record in records], repeat_factors(categories, threshold), seed)
    return [record for record, often in zip(records, times, strict=True) for _ in range(often)]


def repeats(names: Sequence[str], factors: Sequence[float], seed: int) -> list[int]:
    """Return how often each image is seen an epoch: its factor, rounded up or down at random so that the mean is right.

    LVIS draws anew each epoch; here the seed and the image's name decide once, so that training can be resumed.
    """
    return [
        math.floor(factor) + (draw(seed, "repeat", name) < factor - math.floor(factor))
        for name, factor in zip(names, factors, strict=True)
    ]
