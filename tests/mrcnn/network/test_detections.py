"""Detections from a handful of classified regions."""

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.network.detections import Detections, unmold_in_window

FIRST, BESIDE, FAR = [0.1, 0.1, 0.3, 0.3], [0.1, 0.11, 0.3, 0.31], [0.6, 0.6, 0.8, 0.8]


class Three(Config):
    NUM_CLASSES = 3
    DETECTION_MAX_INSTANCES = 4
    DETECTION_MIN_CONFIDENCE = 0.5


def detect(regions, probabilities, window=(0, 0, 101, 101), deltas=None):
    regions, probabilities = np.float32([regions]), np.float32([probabilities])
    meta = np.zeros((1, 15), np.float32)
    meta[0, 4:7], meta[0, 7:11] = (101, 101, 3), window
    deltas = np.zeros((*probabilities.shape, 4), np.float32) if deltas is None else deltas
    return Detections(Three())([regions, probabilities, deltas, meta]).numpy()[0]


def test_suppression_applies_within_each_class():
    found = detect([FIRST, BESIDE, BESIDE, FAR], [[0.1, 0.9, 0], [0.2, 0.8, 0], [0.3, 0, 0.7], [0.4, 0.6, 0]])
    assert found[:, 4:] == pytest.approx(np.float32([[1, 0.9], [2, 0.7], [1, 0.6], [0, 0]]))
    assert found[0, :4] == pytest.approx(np.float32(FIRST))


def test_background_low_scores_and_padding_are_removed():
    found = detect([FIRST, FAR, [0, 0, 0, 0]], [[0.6, 0.4, 0], [0.3, 0.3, 0.4], [0, 1, 0]])
    assert not found.any()


def test_a_score_at_the_threshold_is_enough():
    assert detect([FIRST], [[0.25, 0.25, 0.5]])[0, 4:] == pytest.approx([2, 0.5])


def test_detections_are_clipped_to_the_window():
    found = detect([[0.0, 0.0, 0.5, 0.5]], [[0, 1, 0]], window=(20, 0, 81, 101))
    assert found[0, :4] == pytest.approx([0.2, 0, 0.5, 0.5])


def test_unmolded_boxes_are_in_pixels_of_the_original_image():
    row = np.zeros((2, 6), np.float32)
    row[0] = (0.25, 0.5, 0.5, 1.0, 2, 0.9)
    masks = np.zeros((2, 4, 4, 3), np.float32)
    masks[0, :, :, 2] = 1
    found = unmold_in_window(row, masks, (200, 400, 3), (101, 101, 3), (25, 0, 76, 101))
    assert found.rois.tolist() == [[0, 200, 100, 400]]
    assert found.class_ids.tolist() == [2]
    assert found.masks.min() == 1


def test_detections_without_a_pixel_are_removed():
    row = np.float32([[0.6, 0.5, 0.5, 0.9, 1, 0.9]])
    assert not len(unmold_in_window(row, np.ones((1, 2, 2, 2)), (50, 50, 3), (101, 101, 3), (0, 0, 101, 101)).rois)
