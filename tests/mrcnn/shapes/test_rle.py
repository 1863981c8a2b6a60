"""Run lengths of masks, back from COCO's text."""

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st

from mrcnn.shapes.rle import compress, decode_box, decompress


@given(st.lists(st.integers(0, 2**36), min_size=1, max_size=30))
def test_decompress_is_the_inverse_of_compress(counts):
    np.testing.assert_array_equal(decompress(compress(np.array(counts))), counts)


@pytest.mark.parametrize("seed", range(20))
def test_the_box_of_a_mask_is_decoded_as_cocoapi_decodes_the_image(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(rng.integers(1, 40, 2), bool)
    top, left = (rng.integers(0, side) for side in mask.shape)
    part = mask[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)]
    part[:] = rng.random(part.shape) < rng.choice([0.1, 0.5, 1.0])
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    inside, (x, y) = decode_box(encoded)
    found = np.zeros_like(mask)
    found[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    np.testing.assert_array_equal(found, mask)
    assert list(inside.shape[::-1]) == coco_mask.toBbox(encoded)[2:].tolist()
