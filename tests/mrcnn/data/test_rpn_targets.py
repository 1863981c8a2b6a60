"""Targets of the region proposal network."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn.config import Config
from mrcnn.data.rpn_targets import AnchorIndex, build_rpn_targets, match_anchors
from mrcnn.shapes.anchors import image_anchors
from mrcnn.shapes.metrics import compute_overlaps
from tests.mrcnn.street import GOLDEN, golden


class Small(Config):
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 128
    NUM_CLASSES = 5


CONFIG = Small()
ANCHORS = image_anchors(CONFIG, (128, 128))
INDEX = AnchorIndex.of(ANCHORS)
RNG = np.random.default_rng(0)


def targets(class_ids, boxes):
    return build_rpn_targets((128, 128, 3), INDEX, np.array(class_ids), np.array(boxes).reshape(-1, 4), CONFIG, RNG)


def test_an_anchor_equal_to_the_box_is_positive_with_deltas_zero():
    square = np.flatnonzero(np.isclose(ANCHORS[:, 3] - ANCHORS[:, 1], 16) & np.isclose(ANCHORS[:, 0], 24))[3]
    match, bbox = targets([1], [ANCHORS[square]])
    assert match[square] == 1
    row = int((match[:square] == 1).sum())
    assert np.allclose(bbox[row], 0)


def test_deltas_are_normalised_shifts_and_logarithmic_scales():
    config = type("Loose", (Small,), {"RPN_TRAIN_ANCHORS_PER_IMAGE": 4})()
    anchor, box = np.array([[0.0, 0, 10, 10]]), np.array([[1, 2, 11, 22]])
    match, bbox = build_rpn_targets(None, anchor, np.array([1]), box, config, RNG)
    assert match.tolist() == [1]
    assert np.allclose(bbox[0], [0.1 / 0.1, 0.7 / 0.1, 0, np.log(2) / 0.2])
    assert not bbox[1:].any()


def test_an_image_without_instances_gives_background_only():
    match, bbox = targets([], [])
    assert (match == -1).sum() == CONFIG.RPN_TRAIN_ANCHORS_PER_IMAGE
    assert not (match == 1).any()
    assert not bbox.any()


def test_anchors_inside_a_large_crowd_are_neither_object_nor_background():
    match, _ = targets([-1], [[0, 0, 128, 64]])
    centre = (ANCHORS[:, 1] + ANCHORS[:, 3]) / 2
    assert not (match == 1).any()
    assert not (match[centre < 60] == -1).any()


def test_a_tiny_anchor_inside_a_crowd_is_not_background():
    """Its IoU with the crowd, 0.0001, made it background in matterport's code."""
    inside, outside = [500.0, 500, 510, 510], [1200.0, 500, 1210, 510]
    index, crowd = AnchorIndex.of(np.array([inside, outside])), np.array([[0.0, 0, 1000, 1000]])
    assert match_anchors(index, np.zeros((0, 4)), crowd, 0.7, 0.3).not_background.tolist() == [True, False]
    match, _ = build_rpn_targets(None, index, np.array([-1]), crowd, CONFIG, RNG)
    assert match.tolist() == [0, -1]


def test_a_box_that_no_anchor_intersects_has_no_anchor():
    match, _ = targets([1], [[500, 500, 510, 510]])
    assert not (match == 1).any()


def test_at_most_half_of_the_sample_is_positive():
    boxes = [[y, x, y + 16, x + 16] for y in range(0, 112, 8) for x in range(0, 112, 8)]
    match, _ = targets([1] * len(boxes), boxes)
    assert (match == 1).sum() == CONFIG.RPN_TRAIN_ANCHORS_PER_IMAGE // 2
    assert (match == -1).sum() == CONFIG.RPN_TRAIN_ANCHORS_PER_IMAGE // 2


def test_background_anchors_are_sampled_uniformly():
    counts = sum((targets([], [])[0] == -1).astype(int) for _ in range(200))
    assert counts.mean() == pytest.approx(200 * 256 / len(ANCHORS))
    assert abs(counts[:2000].mean() - counts[2000:].mean()) < 0.5


box = st.tuples(st.integers(0, 110), st.integers(0, 110), st.integers(1, 100), st.integers(1, 100))


@settings(max_examples=60)
@given(st.lists(box, min_size=1, max_size=6), st.sampled_from([0.7, 0.55]))
def test_the_index_equals_comparing_all_anchors(corners, positive_iou):
    boxes = np.array([[y, x, y + h, x + w] for y, x, h, w in corners], float)
    found = match_anchors(INDEX, boxes, np.zeros((0, 4)), positive_iou, 0.3)
    overlaps = compute_overlaps(ANCHORS, boxes)
    wanted = (overlaps.max(axis=1) >= positive_iou) | (overlaps == overlaps.max(axis=0)).any(axis=1)
    assert np.array_equal(found.positive, np.flatnonzero(wanted))
    assert np.allclose(overlaps[found.positive, found.box], overlaps[found.positive].max(axis=1))
    assert np.array_equal(found.not_background, wanted | (overlaps.max(axis=1) >= 0.3))


def test_anchors_in_random_order_are_matched():
    shuffled = np.random.default_rng(1).permutation(len(ANCHORS))[:300]
    boxes = np.array([[20.0, 20, 60, 70]])
    found = match_anchors(AnchorIndex.of(ANCHORS[shuffled]), boxes, np.zeros((0, 4)), 0.5, 0.3)
    overlaps = compute_overlaps(ANCHORS[shuffled], boxes)[:, 0]
    assert np.array_equal(found.positive, np.flatnonzero((overlaps >= 0.5) | (overlaps == overlaps.max())))


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden is absent")
def test_targets_equal_matterport_s():
    figures = golden()
    class_ids = figures["train_gt_class_ids"][0]
    real = class_ids != 0
    match, bbox = targets(class_ids[real], figures["train_gt_boxes"][0][real])
    wanted = figures["train_rpn_match"][0, :, 0]
    assert np.array_equal(np.flatnonzero(match == 1), np.flatnonzero(wanted == 1))
    assert (match == -1).sum() == (wanted == -1).sum()
    assert np.allclose(bbox, figures["train_rpn_bbox"][0], atol=1e-6)


def test_only_anchors_near_an_object_are_compared_with_it():
    """Matterport's code compared all, and iterated over the positive ones: 22 images a second."""
    anchors = image_anchors(Config(), (1024, 1024))
    index, boxes = AnchorIndex.of(anchors), np.array([[100 * k, 90 * k, 100 * k + 80, 90 * k + 120] for k in range(10)])
    overlaps = len(anchors) * len(boxes) * 4
    tracemalloc.start()
    build_rpn_targets((1024, 1024, 3), index, np.ones(10, int), boxes, Config(), RNG)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < overlaps
