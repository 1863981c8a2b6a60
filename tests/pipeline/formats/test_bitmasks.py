"""Bitmask PNGs: what their pixels say of instances, which files are refused, and the whole stage on folders of them."""

import io
import json
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

from pipeline import formats
from pipeline.errors import NotLabelsError
from pipeline.geometry import masks
from pipeline.instances import reasons as faults
from pipeline.instances.records import LabelledImage
from pipeline.instances.tables import json_text
from tests.pipeline.label_texts import options
from tests.pipeline.labelled_folders import HEIGHT, WIDTH, filtered, folder_with, reasons, recipe_of, table
from tests.pipeline.small_sources import zip_of

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


def read(folder: Path, content: Any, path: str = "bitmasks/train/a.png", *wanted: str) -> LabelledImage:
    """Write a bitmask (bytes, or pixels) and read it."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else encoded(content))
    (image,) = formats.read(file, None, options(*wanted))
    return image


def mask_of(image: LabelledImage, number: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return masks.mask(image.instances[number].rings, height, width)


def test_an_instance_has_its_category_id_outline_and_box(tmp_path: Path) -> None:
    image = read(tmp_path, drawn((CAR, 0, 7, at(10, 20, 14, 23))))
    (found,) = image.instances
    assert (image.name, image.source, image.video, image.size) == ("a.png", "a.png", None, (WIDTH, HEIGHT))
    assert (found.id, found.category, found.source_category, found.geometry) == ("7", "car", "car", "bitmask")
    assert found.rings[0].tolist() == [[10, 20], [14, 20], [14, 23], [10, 23]]
    assert (found.box.x, found.box.y, found.box.width, found.box.height) == (10, 20, 4, 3)


@pytest.mark.parametrize(
    ("bits", "name"), [(0, None), (1, "ignored"), (2, "crowd"), (4, "occluded"), (8, "truncated"), (15, "all")]
)
def test_each_flag_is_a_bit_of_green(tmp_path: Path, bits: int, name: str | None) -> None:
    (found,) = read(tmp_path, drawn((CAR, bits, 1, at(0, 0, 5, 5)))).instances
    for flag in ("ignored", "crowd", "occluded", "truncated"):
        assert getattr(found, flag) is (name in (flag, "all")), flag


@pytest.mark.parametrize("instance", [0, 1, 255, 256, 0x1234, 0xFFFF])
def test_an_instance_s_id_is_blue_and_alpha(tmp_path: Path, instance: int) -> None:
    (found,) = read(tmp_path, drawn((CAR, 0, instance, at(0, 0, 5, 5)))).instances
    assert found.id == str(instance)


def test_pixels_whose_alpha_is_zero_are_labels_all_the_same(tmp_path: Path) -> None:
    """Whoever multiplies by alpha, as programs that show pictures do, reads nothing here."""
    pixels = drawn((SIGN, 15, 0x0300, at(3, 4, 9, 8)))
    assert pixels[..., 3].max() == 0
    image = read(tmp_path, pixels)
    assert [(each.id, each.category, each.crowd) for each in image.instances] == [("768", "traffic sign", True)]
    assert (mask_of(image) == (pixels[..., 0] > 0)).all()


def test_instances_that_touch_stay_apart_and_parts_of_one_stay_together(tmp_path: Path) -> None:
    left, right, far = at(10, 10, 20, 20), at(20, 10, 30, 20), at(40, 30, 45, 35)
    pixels = drawn((CAR, 0, 1, left), (CAR, 0, 2, right), (CAR, 0, 1, far))
    image = read(tmp_path, pixels)
    assert [(each.id, len(each.rings)) for each in image.instances] == [("1", 2), ("2", 1)]
    for number in (0, 1):
        assert (mask_of(image, number) == (pixels[..., 3] == number + 1)).all()


def test_pixels_that_meet_at_a_corner_are_one_instance_of_two_rings(tmp_path: Path) -> None:
    (found,) = read(tmp_path, drawn((CAR, 0, 1, at(1, 1, 2, 2)), (CAR, 0, 1, at(2, 2, 3, 3)))).instances
    assert len(found.rings) == 2


def test_an_id_under_two_categories_is_two_instances(tmp_path: Path) -> None:
    image = read(tmp_path, drawn((CAR, 0, 1, at(0, 0, 5, 5)), (TRUCK, 0, 1, at(9, 9, 15, 15))))
    assert [(each.id, each.category) for each in image.instances] == [("1", "car"), ("1", "truck")]


def test_unwanted_categories_are_told_apart(tmp_path: Path) -> None:
    pixels = drawn((CAR, 0, 1, at(0, 0, 5, 5)), (TRUCK, 0, 2, at(9, 9, 15, 15)), (TRUCK, 0, 3, at(20, 9, 26, 15)))
    image = read(tmp_path, pixels, "bitmasks/a.png", "car")
    assert (len(image.instances), image.rejected) == (1, ())
    told = json_text({"category": "truck", "category_id": TRUCK, "flags": 0, "pixels": 36})
    assert [(each.label_id, each.reason, each.label) for each in image.unwanted] == [
        (label_id, faults.OTHER_CATEGORY, told) for label_id in ("2", "3")
    ]


def test_a_bitmask_of_nothing_is_an_image_without_instances(tmp_path: Path) -> None:
    image = read(tmp_path, drawn())
    assert (image.instances, image.rejected, image.unwanted) == ((), (), ())


def test_panoptic_ids_are_meant_in_a_folder_of_that_name_alone(tmp_path: Path) -> None:
    image = read(tmp_path, drawn((35, 0, 1, at(0, 0, 5, 5)), (1, 0, 2, at(9, 9, 15, 15))), "pan_seg/bitmasks/a.png")
    assert [each.category for each in image.instances] == ["dynamic", "car"]
    with pytest.raises(NotLabelsError, match=r"^a\.png: .* must lie in a folder called pan_seg$"):
        read(tmp_path, drawn((35, 0, 1, at(0, 0, 5, 5))))


def test_an_id_that_no_category_has_is_rejected_with_its_reason(tmp_path: Path) -> None:
    pixels = drawn((41, 2, 9, at(0, 0, 5, 4)), (35, 0, 1, at(9, 9, 15, 15)))
    image = read(tmp_path, pixels, "pan_seg/bitmasks/train/a.png")
    (rejected,) = image.rejected
    assert (rejected.source, rejected.image, rejected.label_id) == ("a.png", "a.png", "9")
    assert rejected.reason == "category id is unknown"
    assert json.loads(rejected.label) == {"category_id": 41, "flags": 2, "pixels": 20}
    assert len(image.instances) == 1


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
        (claiming(20_000, 4_000), "a bitmask of 20000 by 4000 pixels is not believable"),
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
def test_outlines_drawn_again_are_the_pixels_that_were_given(values: np.ndarray) -> None:
    """Holes apart, which rings can't say: a segment may gain pixels, but only ones that it encloses."""
    from scipy import ndimage

    height, width = values.shape
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 0] = np.where(values > 0, CAR, 0)
    pixels[..., 3] = np.where(values > 0, values, 0)
    with tempfile.TemporaryDirectory() as folder:
        image = read(Path(folder), pixels)
    assert [int(each.id) for each in image.instances] == sorted(set(values[values > 0].tolist()))
    for number, found in enumerate(image.instances):
        mask = values == int(found.id)
        # A hole is what eight neighbours don't lead out of: rings part where pixels meet only at corners.
        assert (mask_of(image, number, height, width) == ndimage.binary_fill_holes(mask, np.ones((3, 3)))).all()


SPLITS = ["train/a.jpg", "val/b.jpg"]
CARS = {
    "bitmasks/train/a.png": drawn((CAR, 2, 1, at(10, 10, 20, 20)), (TRUCK, 0, 2, at(30, 30, 40, 40))),
    "bitmasks/val/b.png": drawn((CAR, 0, 1, at(0, 0, 9, 9))),
}


def bitmasks(**changed: Any) -> dict[str, bytes]:
    return {path: encoded(pixels) for path, pixels in (CARS | changed).items()}


def rows_of(out: Path) -> list[tuple[Any, ...]]:
    keys = ("split", "image", "category", "instance_id", "crowd", "geometry")
    return [tuple(row[key] for key in keys) for row in table(out, "labels")]


EXPECTED = [("train", "a.jpg", "car", "1", True, "bitmask"), ("val", "b.jpg", "car", "1", False, "bitmask")]


def test_a_folder_of_bitmasks_goes_through_the_stage(tmp_path: Path) -> None:
    images = folder_with(tmp_path / "images", SPLITS, {})
    given_labels = folder_with(tmp_path / "ins_seg", [], bitmasks())
    out = filtered(recipe_of([images], [given_labels], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert table(out, "labels")[0]["box"] == {"x": 10, "y": 10, "width": 10, "height": 10}
    assert reasons(out) == [("a.jpg", faults.OTHER_CATEGORY)]


def test_a_zip_of_bitmasks_goes_through_the_stage(tmp_path: Path) -> None:
    images = folder_with(tmp_path / "images", SPLITS, {})
    members = {f"bdd100k/labels/ins_seg/{path}": content for path, content in bitmasks().items()}
    members["bdd100k/labels/ins_seg/colormaps/val/b.png"] = SOUND
    archive = zip_of(tmp_path / "bdd100k_ins_seg_labels_trainval.zip", members)
    out = filtered(recipe_of([images], [archive], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert reasons(out) == [("a.jpg", faults.OTHER_CATEGORY)]


def test_a_bitmask_of_another_size_than_its_image_is_set_aside(tmp_path: Path) -> None:
    """Its outlines would lie beside the objects."""
    small = drawn((CAR, 0, 5, at(0, 0, 9, 9)), height=HEIGHT // 2, width=WIDTH // 2)
    images = folder_with(tmp_path / "images", [*SPLITS, "train/c.jpg"], {})
    given_labels = folder_with(tmp_path / "ins_seg", [], bitmasks(**{"bitmasks/train/c.png": small}))
    out = filtered(recipe_of([images], [given_labels], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert ("c.png", "made for an image of another size") in reasons(out)
    (row,) = [row for row in table(out, "rejected") if row["image"] == "c.png"]
    (label,) = json.loads(row["label"])["labels"]
    assert (label["id"], label["category"], label["geometry"]) == ("5", "car", "bitmask")
    assert label["rings"]
    assert label["mask_size"] == [WIDTH // 2, HEIGHT // 2]


def test_a_damaged_bitmask_among_others_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    images = folder_with(tmp_path / "images", [*SPLITS, "train/c.jpg"], {})
    given_labels = folder_with(tmp_path / "ins_seg", [], bitmasks() | {"bitmasks/train/c.png": SOUND[:-20]})
    out = filtered(recipe_of([images], [given_labels], labels={"categories": ["car"]}), tmp_path / "work")
    assert rows_of(out) == EXPECTED
    assert "not a label file" in [reason for _, reason in reasons(out)]
