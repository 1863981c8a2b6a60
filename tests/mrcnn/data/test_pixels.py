"""Images of callers: the same values mean the same in any dtype, and what has no meaning is named."""

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.data.image_meta import mold_image
from mrcnn.data.pixels import as_uint8, images_to_detect

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
IMAGE[0, 0], IMAGE[0, 1] = 0, 255
SAME = {
    "uint8": IMAGE,
    "int64": IMAGE.astype(np.int64),
    "float32": IMAGE.astype(np.float32),
    "fractions": IMAGE / 255.0,
    "uint16 of 8 bits": IMAGE.astype(np.uint16),
    **{f"uint16 of {n} bits": np.rint(IMAGE * ((2**n - 1) / 255)).astype(np.uint16) for n in (10, 12)},
    "uint16 of 16 bits": IMAGE.astype(np.uint16) * 257,
    "molded": mold_image(IMAGE, Config()),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_values_are_the_same_pixels(kind):
    (pixels,) = images_to_detect([SAME[kind]], Config())
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, IMAGE)


def test_an_array_of_uint8_is_not_copied():
    assert as_uint8(IMAGE, 3, "a.png") is IMAGE


@pytest.mark.parametrize("channels", [1, None])
def test_grey_has_one_channel(channels):
    assert as_uint8(IMAGE[..., 0], channels, "a.png").shape == (5, 7, 1)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "is None: its file was not read"),
        ("a.png", "is str of <U5; it must be an array of uint8"),
        (IMAGE > 9, "is ndarray of bool"),
        (IMAGE[..., 0], r"shape \(5, 7\); with Config.IMAGE_CHANNEL_COUNT 3 it must be \[height, width, 3\]; grey"),
        (IMAGE[..., :1], r"shape \(5, 7, 1\)"),
        (np.dstack([IMAGE, IMAGE[..., 0]]), r"shape \(5, 7, 4\).*with alpha"),
        (IMAGE[:0], r"shape \(0, 7, 3\)"),
        (np.full((5, 7, 3), 4095), "from 4095 to 4095 as int64"),
        (IMAGE.astype(float) * 2, "from 0 to 510 as float64"),
        (IMAGE / 127.5 - 1, "from -1 to 1 as float64"),
        (np.full((5, 7, 3), np.nan), "from nan to nan"),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(ValueError, match=rf"^images\[1\].* {message}"):
        images_to_detect([IMAGE, image], Config())


@pytest.mark.parametrize("single", [None, IMAGE, IMAGE[..., 0], "a.png"])
def test_detection_takes_a_list(single):
    with pytest.raises(ValueError, match=r"detect takes a list of images.*detect\(\[image\]\)"):
        images_to_detect(single, Config())
