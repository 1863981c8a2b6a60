"""Resizing of images, masks and points."""

import random

import numpy as np
import pytest
from scipy.ndimage import zoom
from skimage.transform import resize as skimage_resize

from mrcnn.config import Config
from mrcnn.data import resizing
from mrcnn.data.resizing import Frame, frame_for, resize_image, resize_mask
from tests.mrcnn.street import GOLDEN, golden


def config(**values):
    return type("Changed", (Config,), values)()


def test_square_scales_down_to_the_longer_side_and_pads_both_ends():
    image, window, scale, padding, crop = resize_image(np.ones((720, 1280, 3), np.uint8), 800, 1024, None, "square")
    assert image.shape == (1024, 1024, 3)
    assert window == (224, 0, 800, 1024)
    assert scale == 0.8
    assert padding == [(224, 224), (0, 0), (0, 0)]
    assert crop is None
    assert image[224:800].all()
    assert not image[:224].any()


def test_pad64_ignores_max_dim_as_matterport_s():
    image, window, scale, *_ = resize_image(np.ones((720, 1280, 3), np.uint8), 768, 1024, None, "pad64")
    assert image.shape == (768, 1408, 3)
    assert scale == 768 / 720
    assert window == (0, 21, 768, 1386)


@pytest.mark.parametrize(
    ("source", "min_dim"), [((720, 1280), 768), ((720, 1280), 256), ((300, 500), 800), ((64, 64), 64)]
)
@pytest.mark.parametrize(("mode", "multiple"), [("pad64", 64), ("pad32", 32)])
def test_unbounded_padding_equals_matterport_s(source, min_dim, mode, multiple):
    """Its scale is max(1, min_dim / min(h, w)), whatever max_dim is, and each side is padded to a multiple."""
    settings = config(IMAGE_RESIZE_MODE=mode, IMAGE_MIN_DIM=min_dim, IMAGE_MAX_DIM=1024, IMAGE_PAD_BOUNDED=False)
    frame = frame_for(source, settings)
    scale = max(1, min_dim / min(source))
    size = tuple(round(side * scale) for side in source)
    assert (frame.scale, frame.size) == (scale, size)
    assert frame.shape == tuple(side + -side % multiple for side in size)
    image, window, *_ = resize_image(np.ones((*source, 3), np.uint8), min_dim, 1024, None, mode)
    assert (image.shape[:2], window) == (frame.shape, frame.window)


def test_pad64_is_limited_to_max_dim_by_default():
    values = {"IMAGE_RESIZE_MODE": "pad64", "IMAGE_MIN_DIM": 768, "IMAGE_MAX_DIM": 1024}
    assert frame_for((720, 1280), config(**values)).shape == (576, 1024)
    assert frame_for((720, 1280), config(**values, IMAGE_PAD_BOUNDED=False)).shape == (768, 1408)


def test_crop_takes_a_square_inside_the_image():
    random.seed(1)
    image, window, _, padding, crop = resize_image(np.ones((90, 160, 3), np.uint8), 64, 64, None, "crop")
    assert image.shape == (64, 64, 3)
    assert window == (0, 0, 64, 64)
    assert padding == [(0, 0)] * 3
    assert crop[2:] == (64, 64)
    assert 0 <= crop[0] <= 26
    assert 0 <= crop[1] <= 96


def test_none_changes_nothing():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    same, window, scale, padding, crop = resize_image(image, 8, 8, None, "none")
    assert same is image
    assert (window, scale, padding, crop) == ((0, 0, 2, 4), 1, [(0, 0)] * 3, None)


def test_min_scale_enlarges():
    assert resize_image(np.zeros((10, 10, 3), np.uint8), None, 64, 2.0, "square")[2] == 2.0


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'stretch'"):
        resize_image(np.zeros((10, 10, 3), np.uint8), 8, 8, None, "stretch")


@pytest.mark.parametrize(
    ("mode", "min_dim", "max_dim", "shape"),
    [("pad64", 800, 1024, (576, 1024)), ("pad32", 216, 384, (224, 384)), ("square", 800, 1024, (1024, 1024))],
)
def test_a_wide_image_fits_its_input(mode, min_dim, max_dim, shape):
    frame = frame_for((720, 1280), config(IMAGE_RESIZE_MODE=mode, IMAGE_MIN_DIM=min_dim, IMAGE_MAX_DIM=max_dim))
    assert frame.shape == shape


@pytest.mark.parametrize("source", [(1, 65500), (65500, 1)])
def test_a_line_of_pixels_keeps_one_row_or_column(source):
    image, frame = resizing.resize_for(np.full((*source, 3), 9, np.uint8), Config())
    assert (min(frame.size), image.shape, image.max()) == (1, (1024, 1024, 3), 9)


def test_detection_with_crops_sees_the_whole_image():
    """Training takes a random square of the image at the same scale."""
    settings = config(IMAGE_RESIZE_MODE="crop", IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64)
    frame = frame_for((100, 200), settings)
    assert (frame.scale, frame.shape, frame.window) == (1, (128, 224), (14, 12, 114, 212))
    trained = frame_for((100, 200), settings, np.random.default_rng(0))
    assert (trained.scale, trained.shape, trained.window) == (1, (64, 64), (0, 0, 64, 64))
    assert frame_for((16, 32), settings).size == (64, 128)


def test_interpolation_is_scikit_images():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    theirs = skimage_resize(image, (31, 44), order=1, mode="edge", preserve_range=True, anti_aliasing=False)
    assert np.abs(resizing.resize(image, (31, 44)) - theirs).max() < 1.001


@pytest.mark.parametrize("scale", [0.1, 0.37, 0.8, 1.0, 1.7])
def test_masks_are_scaled_as_scipy_zooms_them(scale):
    mask = np.random.default_rng(0).random((40, 60, 3)) > 0.5
    ours = resize_mask(mask, scale, [(1, 2), (3, 4), (0, 0)])
    theirs = zoom(mask, (scale, scale, 1), order=0)
    assert np.array_equal(ours[1:-2, 3:-4], theirs)


def test_points_are_transformed_like_the_image():
    frame = Frame((60, 80), (120, 160), (10, 20), (200, 200), 2.0)
    assert frame.move(np.array([[0.0, 0.0], [80.0, 60.0]])).tolist() == [[20, 10], [180, 130]]
    mirrored = Frame((60, 80), (120, 160), (10, 20), (200, 200), 2.0, mirrored=True)
    assert mirrored.move(np.array([[0.0, 0.0]])).tolist() == [[180, 10]]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_pixel_is_at_its_transformed_point(mirrored):
    image = np.zeros((60, 80, 3), np.uint8)
    image[12:18, 50:58] = 255
    frame = Frame((60, 80), (90, 120), (-10, 4), (64, 128), 1.5, mirrored=mirrored)
    rows, columns = np.nonzero(frame.place(image)[:, :, 0] > 127)
    corners = frame.move(np.array([[50.0, 12.0], [58.0, 18.0]]))
    assert abs(rows.min() - corners[0, 1]) <= 1
    assert abs(rows.max() + 1 - corners[1, 1]) <= 1
    assert abs(columns.min() - corners[:, 0].min()) <= 1
    assert abs(columns.max() + 1 - corners[:, 0].max()) <= 1


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden is absent")
def test_molded_images_equal_matterport_s_within_a_grey_level():
    figures = golden()
    image, frame = resizing.resize_for(figures["image"], config(IMAGE_MIN_DIM=128, IMAGE_MAX_DIM=128))
    molded = image - np.array([123.7, 116.8, 103.9])
    assert np.abs(molded - figures["molded_images"][0]).max() < 1.001
    assert frame.window == tuple(figures["windows"][0])
