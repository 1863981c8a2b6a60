"""Masks as pixels: boxes, mini masks, pasting, run lengths."""

import numpy as np
import pytest
from faster_coco_eval import mask as coco
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrcnn.shapes import masks, rle
from mrcnn.shapes.polygons import FULL
from tests.mrcnn.street import GOLDEN, golden


def test_a_box_ends_outside_of_its_mask():
    mask = np.zeros((6, 8, 3), bool)
    mask[1:3, 2:7, 0] = True
    mask[5, 7, 1] = True
    assert masks.extract_bboxes(mask).tolist() == [[1, 2, 3, 7], [5, 7, 6, 8], [0, 0, 0, 0]]


def test_a_mini_mask_of_a_half_filled_box_is_half_filled():
    mask = np.zeros((40, 40, 1), bool)
    mask[10:20, 10:30, 0] = True
    mini = masks.minimize_mask(np.array([[10, 10, 30, 30]]), mask, (8, 8))
    assert mini[:4].all()
    assert not mini[4:].any()


def test_the_coverage_of_a_cell_is_a_fraction_of_full():
    mask = np.zeros((16, 16, 1), bool)
    mask[:, ::2, 0] = True
    mask[:, :8] = True
    coverage = masks.mini_coverage(np.array([[0, 0, 16, 16]]), mask, (8, 8))
    assert (coverage[:, :4] == FULL).all()
    assert (coverage[:, 4:] == FULL // 2).all()
    assert not masks.is_covered(coverage)[:, 4:].any()


def test_expanding_a_mini_mask_restores_the_mask():
    mask = np.zeros((100, 120, 1), bool)
    mask[20:60, 30:100, 0] = np.add.outer(np.arange(40) * 2, np.arange(70)) < 90
    box = masks.extract_bboxes(mask)
    back = masks.expand_mask(box, masks.minimize_mask(box, mask, (56, 56)), (100, 120, 3))
    assert (back & mask).sum() / (back | mask).sum() > 0.97


def test_a_mini_mask_keeps_the_corners_of_a_small_box():
    mask = np.zeros((10, 10, 1), bool)
    mask[2:5, 2:5, 0] = True
    assert masks.minimize_mask(np.array([[2, 2, 5, 5]]), mask, (56, 56)).all()


def test_an_empty_box_is_refused():
    with pytest.raises(ValueError, match="mask 0 is empty"):
        masks.minimize_mask(np.array([[3, 3, 3, 5]]), np.zeros((8, 8, 1), bool), (4, 4))


def test_a_mask_of_ones_fills_its_box_only():
    full = masks.unmold_mask(np.ones((28, 28), np.float32), (2, 3, 30, 40), (50, 60, 3))
    assert full[2:30, 3:40].all()
    assert full.sum() == 28 * 37


def test_a_mask_is_clipped_to_the_image():
    assert masks.unmold_mask(np.ones((28, 28)), (-5, -5, 5, 5), (10, 10)).sum() == 25


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden is absent")
def test_pasted_masks_equal_matterport_s():
    figures = golden()
    shape = figures["detect_masks_shape"]
    wanted = np.unpackbits(figures["detect_masks_packed"])[: np.prod(shape)].reshape(shape).astype(bool)
    classes = figures["detect_class_ids"]
    predicted = np.stack([figures["mrcnn_mask"][0, k, :, :, c] for k, c in enumerate(classes)])
    pasted = masks.unmold_masks(predicted, figures["detect_rois"], (720, 1280))
    union = (pasted | wanted).sum(axis=(0, 1))
    assert ((pasted & wanted).sum(axis=(0, 1)) / union).min() >= 0.99
    encoded = rle.encode_masks(predicted, figures["detect_rois"], (720, 1280))
    assert all(np.array_equal(coco.decode(one), pasted[:, :, k]) for k, one in enumerate(encoded))


@given(
    arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
)
def test_run_lengths_equal_coco_s(inside, margins):
    top, left, bottom, right = margins
    whole = np.pad(inside, ((top, bottom), (left, right)))
    box = (top, left, top + inside.shape[0], left + inside.shape[1])
    encoded = rle.encode_box(inside, box, whole.shape)
    assert encoded["counts"] == coco.encode(np.asfortranarray(whole.astype(np.uint8)))["counts"]


def test_run_lengths_of_a_large_mask_use_several_characters():
    mask = np.zeros((720, 1280), bool)
    mask[100:700, 300:1200] = True
    assert (
        rle.encode_box(mask, (0, 0, 720, 1280), (720, 1280))["counts"]
        == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    )


def test_run_lengths_do_not_allocate_masks_of_the_whole_image():
    """A hundred masks of this image would take 10 TB as an array."""
    found = rle.encode_masks(np.ones((100, 4, 4)), np.tile([50_000, 60_000, 50_008, 60_008], (100, 1)), (10**5, 10**6))
    assert len(found) == 100
    assert found[0]["size"] == [10**5, 10**6]
