"""Pixels to rings and back, run lengths, and the masks of real files."""

import contextlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mrcnn.data.resizing import Frame
from mrcnn.shapes import polygons
from pipeline.geometry import curves, polygon
from pipeline.geometry import masks as contours
from pipeline.geometry import masks as run_lengths

REAL = Path(__file__).parents[4] / "shared" / "real" / "bdd"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")

masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / (one | other).sum())


def test_outlines_run_along_the_borders_of_pixels() -> None:
    (ring,) = contours.trace(np.array([[0, 0, 0], [0, 1, 1], [0, 1, 0]], bool))
    assert ring.tolist() == [[1, 1], [3, 1], [3, 2], [2, 2], [2, 3], [1, 3]]


def test_pixels_that_meet_at_a_corner_are_two_rings() -> None:
    assert len(contours.trace(np.eye(2, dtype=bool))) == 2
    assert len(contours.trace(np.eye(2, dtype=bool)[::-1])) == 2


def test_a_hole_is_lost() -> None:
    ringed = np.ones((5, 5), bool)
    ringed[2, 2] = False
    assert polygons.mask(contours.trace(ringed), 5, 5).all()


@settings(max_examples=300)
@given(masks)
def test_drawing_the_outlines_gives_the_mask_with_its_holes_filled(mask: np.ndarray) -> None:
    from scipy import ndimage

    drawn = polygons.mask(contours.trace(mask), *mask.shape)
    assert (drawn == ndimage.binary_fill_holes(mask, np.ones((3, 3)))).all()


@given(masks)
def test_run_lengths_are_those_of_the_coco_library(mask: np.ndarray) -> None:
    from faster_coco_eval import mask as library

    encoded = library.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert (run_lengths.decode(encoded["counts"], *mask.shape) == mask).all()


def test_plain_run_lengths_go_down_the_columns() -> None:
    assert run_lengths.decode([1, 2, 1], 2, 2).astype(int).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("counts", "height", "width"),
    [
        ([1, 2], 2, 2),
        ([9], 2, 2),
        ([-1, 5], 2, 2),
        ([], 1, 1),
        ([4], 0, 4),
        ([10**11], 10**6, 10**5),
        ("zzzz", 2, 2),
        ("\x01", 1, 1),
        ("o", 1, 1),
        ("o" * 99, 720, 1280),
    ],
)
def test_run_lengths_that_don_t_add_up_are_refused(counts: str | list[int], height: int, width: int) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        run_lengths.decode(counts, height, width)


@given(st.binary(max_size=40))
def test_any_bytes_are_run_lengths_or_refused(counts: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert run_lengths.decode(counts, 9, 7).shape == (9, 7)


def real_labels() -> list[dict]:
    """Labels of real files that have polygons."""
    files = [REAL / "seg_track_20/00091078-875c1f73.json", REAL / "ins_seg_10k/det+ins_seg.json"]
    frames = [frame for file in files for frame in json.loads(file.read_text())]
    return [label for frame in frames for label in frame["labels"] or [] if label.get("poly2d")]


def rings_of(label: dict, tolerance: float) -> list[np.ndarray]:
    """The polygons of a label, curves flattened within `tolerance`."""
    paths = [(polygon.rounded(path["vertices"]), path["types"]) for path in label["poly2d"]]
    return [curves.flatten(points, [len(points)], [types], [True], tolerance)[0] for points, types in paths]


def drawn(label: dict, tolerance: float) -> np.ndarray:
    return polygons.mask(rings_of(label, tolerance), 720, 1280)


@needs_real
def test_half_a_pixel_of_tolerance_keeps_to_the_official_masks_of_real_labels() -> None:
    shares = [iou(drawn(label, 0.5), drawn(label, 0.005)) for label in real_labels()]
    assert np.median(shares) >= 0.99
    assert min(shares) >= 0.95


@needs_real
def test_polygons_agree_with_the_published_masks_of_the_same_labels() -> None:
    """The published masks have overlaps removed, so that the least agreement is less."""
    labels = [label for label in real_labels() if label.get("rle")]
    shares = [
        iou(drawn(label, 0.05), run_lengths.decode(label["rle"]["counts"], *label["rle"]["size"])) for label in labels
    ]
    assert len(shares) > 80
    assert np.median(shares) >= 0.99
    assert min(shares) >= 0.95


@needs_real
def test_masks_as_trained_on_are_the_published_ones_shown_smaller() -> None:
    """Measured: area 1.005 and IoU 0.985, medians."""
    labels = [label for label in real_labels() if label.get("rle")]
    frame = Frame((720, 1280), (216, 384), (4, 0), (224, 384), 0.3)
    areas, overlaps = [], []
    for label in labels:
        shown = [frame.move(ring) for ring in rings_of(label, 0.05)]
        trained = polygons.mask(shown, *frame.shape, frame.window, frame.pixel)
        published = run_lengths.decode(label["rle"]["counts"], *label["rle"]["size"])
        share = cv2.resize(published.astype(np.float32), (384, 216), interpolation=cv2.INTER_AREA)
        areas.append(trained.sum() / share.sum())
        overlaps.append(iou(trained[4:220], share >= 0.5))
    assert 0.98 <= np.median(areas) <= 1.02
    assert np.median(overlaps) >= 0.97


@needs_real
def test_outlines_of_published_masks_draw_them_again() -> None:
    for label in real_labels():
        if label.get("rle"):
            mask = run_lengths.decode(label["rle"]["counts"], *label["rle"]["size"])
            assert iou(polygons.mask(contours.trace(mask), 720, 1280), mask) > 0.999
