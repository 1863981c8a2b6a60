"""Anchors, compared with positions and sizes computed by hand."""

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.network import anchors
from mrcnn.shapes.anchors import compute_backbone_shapes, generate_anchors, image_anchors, normalised_anchors


def test_an_anchor_of_ratio_one_is_a_square_around_its_position():
    found = generate_anchors(8, [1], (2, 2), 4, 1)
    assert found.tolist() == [[-4, -4, 4, 4], [-4, 0, 4, 8], [0, -4, 8, 4], [0, 0, 8, 8]]


def test_ratios_change_the_shape_and_keep_the_area():
    flat, square, tall = generate_anchors(8, [4, 1, 0.25], (1, 1), 4, 1)
    assert flat.tolist() == [-2, -8, 2, 8]
    assert square.tolist() == [-4, -4, 4, 4]
    assert tall.tolist() == [-8, -2, 8, 2]


def test_an_anchor_stride_of_two_skips_every_other_position():
    assert len(generate_anchors(8, [1], (4, 6), 4, 2)) == 6


def test_levels_have_the_shape_of_images_that_are_not_square():
    class Wide(Config):
        RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)

    shapes = compute_backbone_shapes(Wide(), (224, 384, 3))
    assert shapes.tolist() == [[56, 96], [28, 48], [14, 24], [7, 12], [4, 6]]
    assert len(image_anchors(Wide(), (224, 384, 3))) == 3 * sum(h * w for h, w in shapes)


def test_the_keras_layer_computes_the_same_anchors_as_numpy():
    config = Config()
    levels = [np.zeros((1, h, w, 1), np.float32) for h, w in compute_backbone_shapes(config, (64, 128))]
    made = anchors.Anchors(config)([np.zeros((1, 64, 128, 3), np.float32), *levels]).numpy()
    assert made == pytest.approx(normalised_anchors(config, (64, 128)), abs=1e-6)


def test_a_callable_backbone_needs_a_function_for_its_shapes():
    class Own(Config):
        BACKBONE = staticmethod(lambda image, **_: [image] * 5)

    with pytest.raises(ValueError, match="COMPUTE_BACKBONE_SHAPE"):
        compute_backbone_shapes(Own(), (64, 64))
