"""Sampling of regions, and of anchors, from small cases."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.network.anchors import SampledAnchors
from mrcnn.network.detection_targets import DetectionTargets
from mrcnn.ops.layers import Convolution

SIDE = 101
OBJECT = [10, 10, 51, 51]
"""In pixels of an image of 101 × 101: fractions 0.1 to 0.5."""


class Sampling(Config):
    TRAIN_ROIS_PER_IMAGE = 6
    ROI_POSITIVE_RATIO = 0.34
    NUM_CLASSES = 4
    MASK_SHAPE = (4, 4)
    MINI_MASK_SHAPE = (8, 8)


def targets(proposals, class_ids=(3,), boxes=(OBJECT,), config=None, mask=None, step=0):
    mask = np.ones((1, 8, 8, len(class_ids)), bool) if mask is None else mask
    layer = DetectionTargets(config or Sampling())
    inputs = [np.float32([proposals]), np.int32([class_ids]), np.float32([boxes]), mask, np.int32([SIDE, SIDE])]
    layer.build(None)
    layer.step.assign(step)
    return [output.numpy()[0] for output in layer(inputs)]


def test_a_proposal_on_an_object_has_its_class_and_deltas():
    _, class_ids, deltas, masks = targets([[0.1, 0.1, 0.5, 0.3], [0.6, 0.6, 0.9, 0.9]])
    assert class_ids.tolist() == [3, 0, 0, 0, 0, 0]
    assert deltas[0] == pytest.approx([0, 0.5 / 0.1, 0, np.log(2) / 0.2], abs=1e-4)
    assert masks[0].min() == 1
    assert masks[1].max() == 0


def test_negatives_are_proportional_to_positives():
    proposals = [[0.1, 0.1, 0.5, 0.5]] + [[0.6, 0.6, 0.7 + i / 100, 0.9] for i in range(8)]
    rois, class_ids, _, _ = targets(proposals)
    assert class_ids[0] == 3
    assert int(rois.any(axis=1).sum()) == 1 + 1


def test_negatives_can_fill_the_sample():
    class Filling(Sampling):
        ROI_FILL_WITH_NEGATIVES = True

    proposals = [[0.1, 0.1, 0.5, 0.5]] + [[0.6, 0.6, 0.7 + i / 100, 0.9] for i in range(8)]
    rois, _, _, _ = targets(proposals, config=Filling())
    assert rois.any(axis=1).all()


def test_an_image_without_objects_gives_negatives():
    """Matterport's code sampled nothing from it."""
    rois, class_ids, _, _ = targets([[0.6, 0.6, 0.9, 0.9]] * 3, class_ids=(0,), boxes=([0, 0, 0, 0],))
    assert int(rois.any(axis=1).sum()) == 3
    assert not class_ids.any()


def test_a_proposal_inside_a_crowd_is_neither_object_nor_background():
    inside, outside = [0.1, 0.1, 0.15, 0.15], [0.7, 0.7, 0.9, 0.9]
    rois, _, _, _ = targets([inside, outside], class_ids=(-1,))
    assert rois[rois.any(axis=1)] == pytest.approx(np.float32([outside]))


def test_crowds_are_matched_by_the_covered_fraction_and_not_by_iou():
    """Matterport's code used IoU: small regions inside a crowd were negatives."""
    inside, touching, outside = [0.4, 0.4, 0.42, 0.42], [0.7, 0.1, 0.9, 0.6], [0.9, 0.1, 0.95, 0.3]
    crowd = [0, 0, 76, 100]  # to three quarters of the image
    rois, _, _, _ = targets([inside, touching, outside], class_ids=(-1,), boxes=(crowd,))
    assert np.array(sorted(rois[rois.any(axis=1)].tolist())) == pytest.approx(np.array([touching, outside]))


def test_the_ratio_of_positives_is_limited():
    _, class_ids, _, _ = targets([[0.1, 0.1, 0.5, 0.5 + i / 1000] for i in range(5)])
    assert (class_ids > 0).sum() == 2


def test_the_target_mask_is_the_crop_of_the_object_s_mask():
    class Half(Sampling):
        ROI_POSITIVE_IOU = 0.4

    mask = np.zeros((1, 8, 8, 1), bool)
    mask[:, :, :4] = True
    _, _, _, masks = targets([[0.1, 0.1, 0.5, 0.3]], mask=mask, config=Half())
    assert masks[0].mean() > 0.7
    _, _, _, masks = targets([[0.1, 0.3, 0.5, 0.5]], mask=mask, config=Half())
    assert masks[0].mean() < 0.3


def test_a_mask_is_rounded_once():
    """Matterport's code rounded before cropping, too: it would give 1, 0, 1, 0 for these columns."""
    mask = np.tile(np.float32([0.6, 0.45] * 4), (1, 8, 1))[..., None]  # between two columns 0.525
    _, _, _, masks = targets([[0.1, 0.1, 0.5, 0.5]], mask=mask, config=Narrow())
    assert masks[0].tolist() == [[1.0]]


class Narrow(Sampling):
    MASK_SHAPE = (1, 1)


def test_ground_truth_and_jittered_copies_can_be_added_to_the_proposals():
    class WithTruth(Sampling):
        ROI_GROUND_TRUTH_COPIES = 4
        ROI_POSITIVE_RATIO = 0.99

    rois, class_ids, _, _ = targets([[0, 0, 0, 0]], config=WithTruth())
    assert (class_ids > 0).sum() == 4
    assert len(np.unique(rois[class_ids > 0], axis=0)) == 4


def test_the_sample_depends_on_the_step_only():
    proposals = [[0.6, 0.6, 0.7 + i / 100, 0.9] for i in range(30)]
    draws = [targets(proposals, class_ids=(0,), boxes=([0, 0, 0, 0],), step=step)[0] for step in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize("step", [1, 2])
def test_sampled_patches_are_the_receptive_fields_of_the_convolution(step):
    """Also at borders and corners, and on every level."""

    class Few(Config):
        RPN_ANCHOR_RATIOS = (1, 2)
        RPN_TRAIN_ANCHORS_PER_IMAGE = 40
        RPN_ANCHOR_STRIDE = step

    rng = np.random.default_rng(0)
    levels = [rng.normal(size=(2, h, w, 3)).astype(np.float32) for h, w in ((6, 8), (3, 4), (2, 2))]
    convolution = Convolution(5, 3, strides=step, padding="same")
    whole = tf.concat([tf.reshape(convolution(level), (2, -1, 5)) for level in levels], axis=1).numpy()
    match = np.zeros((2, 2 * whole.shape[1], 1), np.int32)
    chosen = rng.permutation(match.shape[1])[:20]
    match[:, chosen[:5]], match[:, chosen[5:]] = 1, -1
    patches, anchor, labels = SampledAnchors(Few())([match, *levels])
    seen = convolution(patches, padding="valid").numpy().reshape(2, -1, 5)
    expected = np.concatenate([np.sort(chosen[:5]), np.sort(chosen[5:])])
    assert labels.numpy()[:, :20].tolist() == [[1] * 5 + [-1] * 15] * 2
    assert anchor.numpy().reshape(2, -1)[0, :20].tolist() == (expected % 2).tolist()
    assert seen[:, :20] == pytest.approx(whole[:, expected // 2], abs=1e-5)
    keras.backend.clear_session()
