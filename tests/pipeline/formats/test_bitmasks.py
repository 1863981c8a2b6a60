"""Bitmask PNGs: what their pixels say of instances, and which files are refused."""

import io
import struct
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mrcnn.shapes import polygons
from pipeline.errors import NotLabelsError
from tests.pipeline.formats.label_rows import Image as Labelled
from tests.pipeline.formats.label_rows import images_of

WIDTH, HEIGHT = 64, 48
CAR, TRUCK, SIGN = 3, 4, 10
"""Ids of detection categories."""


def encoded(pixels: np.ndarray, mode: str | None = None) -> bytes:
    """PNG of an array, converted to another mode if one is given."""
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, "PNG")
    return file.getvalue()


def drawn(*segments: tuple[int, int, int, tuple[slice, slice]], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """[height, width, 4] uint8: each segment is category id, flags, instance id, and (rows, columns) where it lies."""
    pixels = np.zeros((height, width, 4), np.uint8)
    for category, flags, instance, where in segments:
        pixels[where] = (category, flags, instance >> 8, instance & 0xFF)
    return pixels


def at(left: int, top: int, right: int, bottom: int) -> tuple[slice, slice]:
    return slice(top, bottom), slice(left, right)


def read(folder: Path, content: Any, path: str = "bitmasks/train/a.png") -> Labelled:
    """Write a bitmask (bytes, or pixels) and read it."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else encoded(content))
    (image,) = images_of(file)
    return image


def mask_of(image: Labelled, number: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return polygons.mask(image.labels[number].rings, height, width)


def test_an_instance_has_its_category_id_outline_and_box(tmp_path: Path) -> None:
    image = read(tmp_path, drawn((CAR, 0, 7, at(10, 20, 14, 23))))
    (found,) = image.labels
    assert (image.name, image.video, image.size) == ("a.png", None, (WIDTH, HEIGHT))
    assert (found.id, found.category, found.geometry) == ("7", "car", "bitmask")
    assert found.rings[0].tolist() == [[10, 20], [14, 20], [14, 23], [10, 23]]
    assert found.box == (10, 20, 4, 3)


@pytest.mark.parametrize(
    ("bits", "name"), [(0, None), (1, "ignored"), (2, "crowd"), (4, "occluded"), (8, "truncated"), (15, "all")]
)
def test_each_flag_is_a_bit_of_green(tmp_path: Path, bits: int, name: str | None) -> None:
    (found,) = read(tmp_path, drawn((CAR, bits, 1, at(0, 0, 5, 5)))).labels
    for flag in ("ignored", "crowd", "occluded", "truncated"):
        assert getattr(found, flag) is (name in (flag, "all")), flag


@pytest.mark.parametrize("instance", [0, 1, 255, 256, 0x1234, 0xFFFF])
def test_an_instance_s_id_is_blue_and_alpha(tmp_path: Path, instance: int) -> None:
    (found,) = read(tmp_path, drawn((CAR, 0, instance, at(0, 0, 5, 5)))).labels
    assert found.id == str(instance)


def test_pixels_whose_alpha_is_zero_are_labels_all_the_same(tmp_path: Path) -> None:
    """Whoever multiplies by alpha, as programs that show pictures do, reads nothing here."""
    pixels = drawn((SIGN, 15, 0x0300, at(3, 4, 9, 8)))
    assert pixels[..., 3].max() == 0
    image = read(tmp_path, pixels)
    assert [(each.id, each.category, each.crowd) for each in image.labels] == [("768", "traffic sign", True)]
    assert (mask_of(image) == (pixels[..., 0] > 0)).all()


def test_instances_that_touch_stay_apart_and_parts_of_one_stay_together(tmp_path: Path) -> None:
    left, right, far = at(10, 10, 20, 20), at(20, 10, 30, 20), at(40, 30, 45, 35)
    pixels = drawn((CAR, 0, 1, left), (CAR, 0, 2, right), (CAR, 0, 1, far))
    image = read(tmp_path, pixels)
    assert [(each.id, len(each.rings)) for each in image.labels] == [("1", 2), ("2", 1)]
    for number in (0, 1):
        assert (mask_of(image, number) == (pixels[..., 3] == number + 1)).all()


def test_pixels_that_meet_at_a_corner_are_one_instance_of_two_rings(tmp_path: Path) -> None:
    (found,) = read(tmp_path, drawn((CAR, 0, 1, at(1, 1, 2, 2)), (CAR, 0, 1, at(2, 2, 3, 3)))).labels
    assert len(found.rings) == 2


def test_an_id_under_two_categories_is_two_instances(tmp_path: Path) -> None:
    image = read(tmp_path, drawn((CAR, 0, 1, at(0, 0, 5, 5)), (TRUCK, 0, 1, at(9, 9, 15, 15))))
    assert [(each.id, each.category) for each in image.labels] == [("1", "car"), ("1~2", "truck")]


def test_a_bitmask_of_nothing_is_an_image_without_instances(tmp_path: Path) -> None:
    image = read(tmp_path, drawn())
    assert (image.labels, image.rejected) == ([], [])


def test_panoptic_ids_need_a_folder_of_that_name(tmp_path: Path) -> None:
    image = read(tmp_path, drawn((35, 0, 1, at(0, 0, 5, 5)), (1, 0, 2, at(9, 9, 15, 15))), "pan_seg/bitmasks/a.png")
    assert [each.category for each in image.labels] == ["dynamic", "car"]
    with pytest.raises(NotLabelsError, match=r"^a\.png: .* must lie in a folder called pan_seg$"):
        read(tmp_path, drawn((35, 0, 1, at(0, 0, 5, 5))))


def test_an_id_that_no_category_has_is_rejected_with_its_reason(tmp_path: Path) -> None:
    pixels = drawn((41, 2, 9, at(0, 0, 5, 4)), (35, 0, 1, at(9, 9, 15, 15)))
    image = read(tmp_path, pixels, "pan_seg/bitmasks/train/a.png")
    (rejected,) = image.rejected
    assert (rejected.image, rejected.id) == ("a.png", "9")
    assert rejected.reason == "category id is unknown"
    assert rejected.label == {"category_id": 41, "flags": 2, "pixels": 20}
    assert len(image.labels) == 1


@pytest.mark.parametrize(
    ("path", "video"),
    [
        ("seg_track_20/bitmasks/train/00091078-875c1f73/00091078-875c1f73-0000166.png", "00091078-875c1f73"),
        ("ins_seg/bitmasks/val/a.png", None),
        ("ins_seg/bitmasks/a.png", None),
    ],
)
def test_bitmasks_of_a_video_lie_in_its_folder(tmp_path: Path, path: str, video: str | None) -> None:
    assert read(tmp_path, drawn(), path).video == video


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        ("bdd100k_drivable_maps/labels/train/a-b_drivable_id.png", "a-b", (1, 2, 0)),
        ("labels/drivable/masks/val/a-b.png", "a-b.png", (0, 1, 2)),
    ],
)
def test_a_map_of_drivable_areas_has_a_grey_for_each_class(
    tmp_path: Path, path: str, name: str, values: tuple[int, int, int]
) -> None:
    direct, alternative, background = values
    grey = np.full((HEIGHT, WIDTH), background, np.uint8)
    grey[at(0, 30, 10, 48)] = grey[at(20, 30, 30, 48)] = direct
    grey[at(40, 30, 50, 48)] = alternative
    image = read(tmp_path, grey, path)
    assert (image.name, image.size) == (name, (WIDTH, HEIGHT))
    assert [(each.category, each.box, each.geometry) for each in image.labels] == [
        ("direct", (0, 30, 10, 18), "bitmask"),
        ("direct", (20, 30, 10, 18), "bitmask"),
        ("alternative", (40, 30, 10, 18), "bitmask"),
    ]


def test_a_map_of_colours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotLabelsError, match="a map of drivable areas is grey, this is RGBA"):
        read(tmp_path, drawn(), "drivable/masks/a.png")


SOUND = encoded(drawn((CAR, 0, 1, at(0, 0, 5, 5))))


def claiming(width: int, height: int) -> bytes:
    """A whole PNG of a few kilobytes that unpacks to so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (encoded(drawn(), "RGB"), "a bitmask has red, green, blue and alpha, this is RGB"),
        (encoded(drawn(), "P"), "a bitmask has red, green, blue and alpha, this is P"),
        (encoded(drawn()[..., 0]), "a bitmask has red, green, blue and alpha, this is L"),
        (encoded(drawn()[..., 0].astype(np.uint16)), "a bitmask has red, green, blue and alpha, this is I;16"),
        (SOUND[:-20], "a truncated image"),
        (SOUND[:20], ""),
        (SOUND[:60] + SOUND[-12:], "a damaged PNG"),
        (SOUND[:45] + b"\xff" * 8 + SOUND[53:], "a damaged PNG"),
        (claiming(60_000, 60_000), "an image over 100 megapixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "png",
)
def test_what_is_no_sound_bitmask_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NotLabelsError, match=rf"^a\.png: holds no labels: .*{complaint}"):
            read(tmp_path, content)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)))
def test_filled_outlines_are_the_pixels_of_the_bitmask(values: np.ndarray) -> None:
    """Holes apart, which rings can't say: a segment may gain pixels, but only ones that it encloses."""
    from scipy import ndimage

    height, width = values.shape
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 0] = np.where(values > 0, CAR, 0)
    pixels[..., 3] = np.where(values > 0, values, 0)
    with tempfile.TemporaryDirectory() as folder:
        image = read(Path(folder), pixels)
    assert [int(each.id) for each in image.labels] == sorted(set(values[values > 0].tolist()))
    for number, found in enumerate(image.labels):
        mask = values == int(found.id)
        # A hole is what eight neighbours don't lead out of: rings part where pixels meet only at corners.
        assert (mask_of(image, number, height, width) == ndimage.binary_fill_holes(mask, np.ones((3, 3)))).all()
