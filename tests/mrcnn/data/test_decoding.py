"""Pixels of image files: every type, 16 bits by what they hold, and what can't be read by its name."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from mrcnn.data.decoding import PNG_START, ImageError, decode, image_size, read_image

COLOURS = np.zeros((10, 20, 3), np.uint8) + np.array([30, 90, 200], np.uint8)
"""RGB."""


def encoded(pixels, suffix=".png"):
    """Return the file of RGB or grey pixels; channels are in OpenCV's order there."""
    return cv2.imencode(suffix, pixels if pixels.ndim == 2 else pixels[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_every_type_is_read_as_8_bit_rgb(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(COLOURS, suffix))
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - COLOURS).max() <= 8
    assert image_size(path.read_bytes(), "a") == (10, 20)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("largest", "read"), [(200, 200), (255, 255), (256, 64), (1023, 255), (1024, 64), (4095, 255), (65535, 255)]
)
def test_16_bits_are_scaled_by_what_they_hold(suffix, largest, read):
    grey = np.array([[0, largest], [0, 0]], np.uint16)
    for pixels in (grey, np.dstack([grey] * 3)):
        assert decode(encoded(pixels, suffix), "a")[..., 0].tolist() == [[0, read], [0, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fraction_of_the_size_is_scaled_by_the_largest_value_of_the_whole(dtype):
    pixels = np.full((10, 16), 100, dtype)
    pixels[0, 0] = np.iinfo(dtype).max
    reduced = decode(encoded(pixels), "a", reduce=2)
    assert reduced.shape == (5, 8, 3)
    assert reduced[-1, -1, 0] == (100 if dtype == np.uint8 else 0)


def test_values_of_32_bits_are_refused():
    with pytest.raises(ImageError, match=r"^a\.tif: its pixels are float32; images of 8 or 16 bits are read"):
        decode(encoded(np.zeros((4, 4, 3), np.float32), ".tif"), "a.tif")


def test_a_png_with_a_text_or_profile_beyond_pillow_s_limit_is_read():
    for kind in (b"zTXt", b"iCCP"):
        chunk = kind + b"k\0\0" + zlib.compress(bytes(2 << 20))
        png = encoded(COLOURS)
        long = png[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
        assert image_size(long, "a") == (10, 20)
        assert np.array_equal(decode(long, "a"), COLOURS)


@pytest.mark.parametrize("data", [b"", PNG_START, b"BM", b"not an image", b"II*\0" + bytes(20)])
def test_what_is_no_image_is_named(data):
    for read in (image_size, decode):
        with pytest.raises(ImageError, match=r"^b\.png: this is not an image that can be read"):
            read(data, "b.png")


def test_sides_beyond_the_decoder_s_limit_are_refused():
    with pytest.raises(ImageError, match="can be read"):
        decode(encoded(np.zeros((1, (1 << 20) + 1), np.uint8), ".bmp"), "a")
