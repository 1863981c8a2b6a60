"""Small pictures with masks over them."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor

from pipeline.pictures import LARGEST, LONGEST_SIDE, colour, overlay
from tests.pipeline.small_datasets import jpeg

SQUARE = np.array([(100, 100), (100, 300), (300, 300), (300, 100)], np.float64)


def plain(width: int, height: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (width, height), (128, 128, 128)).save(content, "JPEG")
    return content.getvalue()


def test_a_mask_colours_its_place_and_nothing_else(tmp_path: Path) -> None:
    assert overlay(plain(1280, 720), [(0, [SQUARE])], tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size == (LONGEST_SIDE, 270)
        inside, outside = picture.getpixel((75, 75)), picture.getpixel((300, 200))
    assert inside[2] > inside[0] + 40
    assert max(outside) - min(outside) < 12


def test_the_noisiest_picture_stays_small(tmp_path: Path) -> None:
    assert overlay(jpeg(1280, 720), [(1, [SQUARE])], tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").stat().st_size <= LARGEST


def test_a_picture_of_16_bits_is_as_bright_as_the_network_sees_it(tmp_path: Path) -> None:
    grey = cv2.imencode(".png", np.array([[4095, 2048]], np.uint16).repeat(40, 0).repeat(40, 1))[1].tobytes()
    assert overlay(grey, [], tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        assert np.allclose(np.asarray(picture)[20, [10, 70]], [[255] * 3, [128] * 3], atol=4)


def test_bytes_that_are_no_image_leave_no_picture(tmp_path: Path) -> None:
    assert not overlay(b"not an image", [], tmp_path / "a.jpg")
    assert not overlay(plain(64, 64)[:-200], [], tmp_path / "b.jpg")
    assert not list(tmp_path.iterdir())


def test_neighbouring_classes_differ() -> None:
    colours = np.array([ImageColor.getrgb(colour(number)) for number in range(20)])
    assert (np.abs(np.diff(colours, axis=0)).max(axis=1) >= 50).all()
