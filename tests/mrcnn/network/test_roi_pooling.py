"""Pooling of regions, with features whose values identify their position."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.network import roi_pooling


def region(side: float, image: int = 1024) -> list[float]:
    """A square region of `side` pixels of an image of `image` pixels."""
    return [0.0, 0.0, side / image, side / image]


@pytest.mark.parametrize(
    ("side", "level"), [(10, 2), (79, 2), (80, 3), (158, 3), (159, 4), (224, 4), (316, 4), (317, 5), (1000, 5)]
)
def test_a_region_of_224_pixels_is_pooled_from_p4_and_half_of_it_from_p3(side, level):
    assert roi_pooling.pyramid_levels(tf.constant([region(side)]), tf.constant([1024, 1024])).numpy().tolist() == [
        level
    ]


@pytest.mark.parametrize(("side", "level"), [(27, 2), (29, 3), (55, 3), (57, 4), (111, 4), (113, 5)])
def test_the_narrow_network_changes_level_at_28_56_and_112_pixels(side, level):
    found = roi_pooling.pyramid_levels(tf.constant([region(side)]), tf.constant([1024, 1024]), 56 * 2**0.5)
    assert found.numpy().tolist() == [level]


def test_padding_is_pooled_from_the_finest_level():
    assert roi_pooling.pyramid_levels(tf.zeros((1, 4)), tf.constant([512, 512])).numpy().tolist() == [2]


@pytest.fixture
def numerics():
    """Make operations raise if a result is not finite."""
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


@pytest.mark.usefixtures("numerics")
def test_padding_has_no_infinite_logarithm():
    """The cast of infinity to int32 differs between processors."""
    regions = tf.constant([[0.0, 0, 0, 0], [0.2, 0.2, 0.2, 0.7], region(400)])
    assert roi_pooling.pyramid_levels(regions, tf.constant([1024, 1024])).numpy().tolist() == [2, 2, 5]
    with pytest.raises(tf.errors.InvalidArgumentError, match="Inf"):
        tf.math.log(tf.zeros(1))


def pyramid() -> list[np.ndarray]:
    """Levels of constant value 2, 3, 4, 5, the second image's ten times that."""
    levels = []
    for level, side in ((2, 256), (3, 128), (4, 64), (5, 32)):
        features = np.full((2, side, side, 1), level, np.float32)
        features[1] *= 10
        levels.append(features)
    return levels


def test_the_last_samples_of_a_region_that_ends_at_the_border_count_whatever_rounding_makes_of_them():
    low = np.random.default_rng(0).uniform(0.1, 0.9, (300, 2)).astype(np.float32)
    regions = tf.constant(np.concatenate([low, np.ones_like(low)], axis=1))
    images = tf.zeros(300, tf.int32)
    pooled = roi_pooling.PyramidPooling(7, Config())([regions, images, tf.constant([1024, 1024]), *pyramid()])
    assert pooled.numpy().min() > 1.99
    assert roi_pooling.crop_and_resize(pyramid()[0], regions, images, 7).numpy().min() == 0.0


@pytest.mark.parametrize("pooling", ["crop_and_resize", "roi_align"])
def test_each_region_is_pooled_from_its_level_and_image_in_the_order_given(pooling):
    class Chosen(Config):
        ROI_POOLING = pooling

    regions = tf.constant([region(400), region(40), region(200), region(100)])
    pooled = roi_pooling.PyramidPooling(7, Chosen())(
        [regions, tf.constant([0, 1, 0, 1]), tf.constant([1024, 1024]), *pyramid()]
    )
    assert pooled.shape == (4, 7, 7, 1)
    assert pooled.numpy()[:, 3, 3, 0] == pytest.approx([5, 20, 4, 30])


def test_roi_align_of_a_ramp_is_the_ramp_at_the_centres_of_the_cells():
    ramp = np.arange(11, dtype=np.float32)[None, None, :, None] * np.ones((1, 11, 1, 1), np.float32)
    crops = roi_pooling.roi_align(ramp, tf.constant([[0.0, 0.0, 1.0, 1.0]]), tf.constant([0]), 5)
    assert crops.numpy()[0, 0, :, 0] == pytest.approx([1, 3, 5, 7, 9])


def test_regions_that_count_are_selected_and_padding_has_weight_zero():
    regions = tf.random.uniform((2, 5, 4))
    given = tf.constant([[0.0, 1, 0, 0, 0], [2, 0, 3, 0, 0]])
    chosen, images, where, counts = roi_pooling.SelectedRegions()([regions, given])
    assert counts.numpy().tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert where.numpy()[:3].tolist() == [[0, 1], [1, 0], [1, 2]]
    assert images.numpy()[:3].tolist() == [0, 1, 1]
    assert chosen.numpy()[2] == pytest.approx(regions.numpy()[1, 2])


def test_padding_does_not_exceed_the_number_of_regions():
    _, _, where, counts = roi_pooling.SelectedRegions()([tf.zeros((1, 9, 4)), tf.ones((1, 9))])
    assert where.numpy().tolist() == [[0, slot] for slot in range(9)]
    assert counts.numpy().sum() == 9


def test_one_region_is_returned_if_none_counts():
    chosen, _, _, counts = roi_pooling.SelectedRegions()([tf.zeros((1, 9, 4)), tf.zeros((1, 9))])
    assert len(chosen) == len(counts) == 8
    assert counts.numpy().sum() == 0
