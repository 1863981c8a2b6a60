"""The graph places and resizes a picture as the input pipeline does; `tests/pipeline/export` runs it as a whole."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.data.resizing import frame_for, resize_for
from mrcnn.picture_graph import picture_function, placement_of, resized_picture

SIZES = [(720, 1280), (1280, 720), (2160, 3840), (333, 500), (50, 70), (1, 1), (101, 1000)]


def settings(mode, **changes):
    named = {"IMAGE_MIN_DIM": 216, "IMAGE_MAX_DIM": 384, "IMAGE_RESIZE_MODE": mode, **changes}
    return type("Resizing", (Config,), named)()


@pytest.mark.parametrize("source", SIZES)
@pytest.mark.parametrize(
    "config",
    [
        settings("square"),
        settings("pad64"),
        settings("pad32", IMAGE_MIN_SCALE=2.0),
        settings("pad64", IMAGE_PAD_BOUNDED=False),
        settings("crop"),
        settings("none"),
    ],
    ids=lambda config: config.IMAGE_RESIZE_MODE,
)
def test_a_picture_is_placed_as_by_the_input_pipeline(config, source):
    frame, placement = frame_for(source, config), placement_of(tf.constant(source), config)
    assert [tuple(each.numpy()) for each in placement[:4]] == [frame.source, frame.size, frame.offset, frame.shape]
    assert placement.scale.numpy() == frame.scale


@pytest.mark.parametrize("source", [(720, 1280), (431, 767), (100, 180)])
@pytest.mark.parametrize("fast", [True, False])
def test_the_network_s_input_is_that_of_the_input_pipeline(source, fast):
    config = settings("pad64", FAST_DECODE=fast)
    image = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
    found = resized_picture(tf.constant(image), placement_of(tf.constant(source), config), config).numpy()
    assert np.abs(found.astype(int) - resize_for(image, config)[0]).max() <= 1
    assert (found != resize_for(image, config)[0]).mean() < 1e-3


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (SimpleNamespace(mode="training", config=Config()), "mode='inference'"),
        (SimpleNamespace(mode="inference", config=SimpleNamespace(BACKBONE=len)), "a backbone of your own"),
    ],
)
def test_a_model_that_has_no_such_graph_is_refused(model, reason):
    with pytest.raises(ValueError, match=reason):
        picture_function(model, [])
