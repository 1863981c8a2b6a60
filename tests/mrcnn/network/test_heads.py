"""The RPN head equals its three layers applied one after the other."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.network.heads import RegionProposalHead
from mrcnn.ops import convolution


class Wide(Config):
    """Wide enough for Winograd convolution."""

    RPN_CHANNELS = 2 * convolution.WINOGRAD_CHANNELS


@pytest.mark.parametrize("known", [True, False], ids=["sizes known", "sizes unknown"])
@pytest.mark.parametrize("side", [4, 30], ids=["small", "large"])
def test_outputs_of_whole_maps_equal_those_of_the_layers(known, side):
    head = RegionProposalHead(Wide())
    shape = (1, side, side, convolution.WINOGRAD_CHANNELS)
    head.build(shape)
    random = np.random.default_rng(1)
    for weight in head.weights:
        weight.assign(random.normal(0, 0.05, weight.shape))
    features = tf.constant(random.normal(size=shape).astype(np.float32))
    sizes = shape if known else (None, None, None, convolution.WINOGRAD_CHANNELS)
    logits, deltas = tf.function(head, [tf.TensorSpec(sizes)])(features)
    shared = head.rpn_conv_shared(features)
    assert (logits.shape, deltas.shape) == ((1, 3 * side**2, 2), (1, 3 * side**2, 4))
    assert np.allclose(logits, tf.reshape(head.rpn_class_raw(shared), logits.shape), atol=1e-3)
    assert np.allclose(deltas, tf.reshape(head.rpn_bbox_pred(shared), deltas.shape), atol=1e-3)


def test_the_shared_convolution_is_not_in_memory_as_a_whole():
    head = RegionProposalHead(Wide())
    shape = (1, 144, 256, convolution.WINOGRAD_CHANNELS)
    head.build(shape)
    held = {}
    for is_plain in (False, True):
        with convolution.portable_operations() if is_plain else contextlib.nullcontext():
            graph = tf.function(head, [tf.TensorSpec(shape)]).get_concrete_function().graph
        sizes = [out.shape.num_elements() for each in graph.get_operations() for out in each.outputs]
        held[is_plain] = 144 * 256 * Wide.RPN_CHANNELS in sizes
    assert held == {False: False, True: True}
