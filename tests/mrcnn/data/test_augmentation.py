"""Rejection of objects that are no augmenters."""

import pytest

from mrcnn.data.batches import BatchLoader
from mrcnn.data.samples import load_image_gt
from tests.mrcnn.street import Squares, TinyConfig


class Compose:
    """An augmenter with albumentations' interface: called with image and mask."""

    def __call__(self, **images):
        return images


def test_augmenters_with_another_interface_are_rejected():
    message = (
        r"augmentation is a .*\.Compose; it must be a mrcnn.data.augmentation.Augmentation or .* to_deterministic\(\)"
    )
    with pytest.raises(TypeError, match=message):
        load_image_gt(Squares(2), TinyConfig(), 0, augmentation=Compose())
    with pytest.raises(TypeError, match=message):
        BatchLoader(Squares(2), TinyConfig(), augmentation=Compose()).batch(0)
