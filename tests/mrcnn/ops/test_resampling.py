"""Resizing in a graph has OpenCV's results, as the input pipeline has them."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from mrcnn.data.resizing import UNTRUNCATED, resize
from mrcnn.ops import resampling
from mrcnn.shapes.masks import unmold_masks


def almost_equal(found: tf.Tensor, expected: np.ndarray) -> bool:
    """Return whether hardly a value differs, and none by more than 1: the order of a sum decides halves."""
    difference = np.abs(found.numpy().astype(int) - expected)
    return difference.max() <= 1 and difference.mean() < 1e-3


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("by", [1, 2, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (37, 53), (121, 283)])
def test_means_of_blocks_are_those_of_opencv(height, width, by):
    image = noise(height, width)
    expected = cv2.resize(image, (-(-width // by), -(-height // by)), interpolation=cv2.INTER_AREA)
    assert almost_equal(resampling.mean_of_blocks(tf.constant(image), tf.constant(by)), expected)


@pytest.mark.parametrize("size", [(216, 384), (37, 53), (74, 106), (26, 31)])
def test_linear_interpolation_is_that_of_the_input_pipeline(size):
    image = noise(37, 53)
    found = tf.cast(resampling.linear(tf.constant(image), tf.constant(size)) + UNTRUNCATED, tf.uint8)
    assert almost_equal(found, resize(image, size))


def test_masks_are_pasted_as_by_unmold_masks():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 60, (20, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 40, (20, 2))], axis=1).astype(np.int32)
    boxes[0] = (0, 0, 100, 110)
    masks = rng.random((20, 28, 28)).astype(np.float32)
    found = resampling.pasted_masks(tf.constant(masks), tf.constant(boxes), tf.constant((100, 110))).numpy()
    assert (found == np.moveaxis(unmold_masks(masks, boxes, (100, 110)), 2, 0)).all()


def test_no_masks_are_no_masks_of_the_picture_s_size():
    found = resampling.pasted_masks(tf.zeros((0, 28, 28)), tf.zeros((0, 4), tf.int32), tf.constant((10, 20)))
    assert found.shape == (0, 10, 20)
