"""What is accepted as an augmenter."""

import pytest

from mrcnn.data.batches import BatchLoader
from mrcnn.data.samples import load_image_gt
from tests.mrcnn.street import Squares, TinyConfig


class Compose:
    """As albumentations has it: called with image and mask, and no augmenter of imgaug's kind."""

    def __call__(self, **images):
        return images


def test_an_augmenter_of_another_kind_is_refused_and_those_accepted_are_named():
    message = (
        r"augmentation is a .*\.Compose; it must be a mrcnn.data.augmentation.Augmentation or .* to_deterministic\(\)"
    )
    with pytest.raises(TypeError, match=message):
        load_image_gt(Squares(2), TinyConfig(), 0, augmentation=Compose())
    with pytest.raises(TypeError, match=message):
        BatchLoader(Squares(2), TinyConfig(), augmentation=Compose()).batch(0)
