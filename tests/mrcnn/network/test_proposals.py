"""Proposals from a handful of anchors."""

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.network.proposals import Proposals


def propose(scores, boxes, count=3):
    scores = np.float32(scores)
    probabilities = np.stack([1 - scores, scores], axis=-1)[None]
    boxes = np.float32(boxes)
    return Proposals(count, Config())([probabilities, np.zeros((1, len(boxes), 4), np.float32), boxes]).numpy()[0]


def test_proposals_are_sorted_suppressed_and_padded_with_zeros():
    found = propose([0.5, 0.9, 0.8], [[0, 0, 0.2, 0.2], [0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.9, 0.91]])
    assert found == pytest.approx(np.float32([[0.5, 0.5, 0.9, 0.9], [0, 0, 0.2, 0.2], [0, 0, 0, 0]]))


def test_proposals_are_clipped_to_the_image():
    assert propose([0.9], [[-0.5, 0.5, 0.5, 1.5]], count=1)[0] == pytest.approx([0, 0.5, 0.5, 1])
