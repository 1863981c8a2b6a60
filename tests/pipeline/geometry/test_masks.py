"""Rings to pixels and back, against hand-worked pixels, other fills, and the masks of real files."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.geometry import curves, polygon
from pipeline.geometry import masks as contours
from pipeline.geometry import masks as raster
from pipeline.geometry import masks as run_lengths

REAL = Path(__file__).parents[4] / "shared" / "real" / "bdd"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")

masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
rings = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 20)), min_size=3, max_size=8)


def pixels(*ring: tuple[float, float], height: int = 6, width: int = 6) -> list[str]:
    """The mask of one ring, a text a row."""
    return [
        "".join("#" if each else "." for each in row) for row in raster.mask([np.array(ring, float)], height, width)
    ]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / (one | other).sum())


def test_a_rectangle_from_one_to_four_is_three_pixels_wide() -> None:
    assert pixels((1, 1), (4, 1), (4, 3), (1, 3)) == ["......", ".###..", ".###..", "......", "......", "......"]


def test_every_pixel_that_is_touched_is_filled() -> None:
    assert pixels((0, 0), (4, 4), (0, 4)) == ["#.....", "##....", "###...", "####..", "......", "......"]
    assert pixels((1.5, 1.5), (3.5, 1.5), (3.5, 2.5)) == ["......", ".###..", "..##..", "......", "......", "......"]


def test_a_figure_of_eight_and_a_double_loop_are_filled_nonzero() -> None:
    assert pixels((0, 0), (4, 4), (4, 0), (0, 4)) == ["#..#..", "####..", "####..", "#..#..", "......", "......"]
    star_twice = [(0, 0), (5, 0), (5, 5), (0, 5), (0, 0), (4, 0), (4, 4), (0, 4)]
    assert pixels(*star_twice)[:5] == ["#####."] * 5


def test_rings_are_united_and_cut_at_the_image() -> None:
    drawn = raster.mask([polygon.rectangle(-3, -3, 2, 2), polygon.rectangle(1, 1, 99, 3)], 4, 5)
    assert drawn.astype(int).tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]]


def test_rings_outside_and_without_area_draw_nothing() -> None:
    assert not raster.mask([polygon.rectangle(9, 9, 12, 12), np.array([(0.0, 0), (3, 3), (1, 1)])], 5, 5).any()
    assert not raster.mask([], 5, 5).any()


@given(rings, st.integers(-3, 3), st.integers(-3, 3))
def test_a_mask_moves_with_its_ring(points: list, right: int, down: int) -> None:
    ring = np.array(points, float)
    still, moved = raster.mask([ring + 4], 32, 36), raster.mask([ring + 4 + (right, down)], 32, 36)
    assert (np.roll(still, (down, right), axis=(0, 1)) == moved).all()


@given(rings)
def test_direction_start_and_mirror_change_nothing(points: list) -> None:
    ring = np.array(points, float)
    drawn = raster.mask([ring], 20, 24)
    assert (raster.mask([ring[::-1]], 20, 24) == drawn).all()
    assert (raster.mask([np.roll(ring, 2, axis=0)], 20, 24) == drawn).all()
    assert (raster.mask([(24, 0) + ring * (-1, 1)], 20, 24) == drawn[:, ::-1]).all()


@given(st.lists(st.tuples(st.floats(0, 24), st.floats(0, 20)), min_size=3, max_size=3))
def test_a_triangle_covers_just_the_pixels_with_a_point_inside_it(points: list) -> None:
    """Pixels are sampled finely; one that the triangle only grazes may be missed by the samples, not the other way."""
    triangle = np.array(points)
    fine = np.stack(np.meshgrid(np.arange(0.05, 24, 0.1), np.arange(0.05, 20, 0.1)), axis=-1)
    edges = np.roll(triangle, -1, axis=0) - triangle
    sides = [
        edge[0] * (fine[..., 1] - at[1]) - edge[1] * (fine[..., 0] - at[0])
        for at, edge in zip(triangle, edges, strict=True)
    ]
    inside = np.all(np.array(sides) > 1e-9, axis=0) | np.all(np.array(sides) < -1e-9, axis=0)
    sampled = inside.reshape(20, 10, 24, 10).any(axis=(1, 3))
    drawn = raster.mask([triangle], 20, 24)
    assert not (sampled & ~drawn).any()
    assert polygon.area(triangle) <= drawn.sum() + 1e-6


def test_outlines_run_along_the_borders_of_pixels() -> None:
    (ring,) = contours.trace(np.array([[0, 0, 0], [0, 1, 1], [0, 1, 0]], bool))
    assert ring.tolist() == [[1, 1], [3, 1], [3, 2], [2, 2], [2, 3], [1, 3]]


def test_pixels_that_meet_at_a_corner_are_two_rings() -> None:
    assert len(contours.trace(np.eye(2, dtype=bool))) == 2
    assert len(contours.trace(np.eye(2, dtype=bool)[::-1])) == 2


def test_a_hole_is_lost() -> None:
    ringed = np.ones((5, 5), bool)
    ringed[2, 2] = False
    assert raster.mask(contours.trace(ringed), 5, 5).all()


@settings(max_examples=300)
@given(masks)
def test_drawing_the_outlines_gives_the_mask_with_its_holes_filled(mask: np.ndarray) -> None:
    from scipy import ndimage

    drawn = raster.mask(contours.trace(mask), *mask.shape)
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


def drawn(label: dict, tolerance: float) -> np.ndarray:
    """The mask of a label, its curves flattened within `tolerance`."""
    paths = [(polygon.rounded(path["vertices"]), path["types"]) for path in label["poly2d"]]
    rings = [curves.flatten(points, [len(points)], [types], [True], tolerance)[0] for points, types in paths]
    return raster.mask(rings, 720, 1280)


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
def test_outlines_of_published_masks_draw_them_again() -> None:
    for label in real_labels():
        if label.get("rle"):
            mask = run_lengths.decode(label["rle"]["counts"], *label["rle"]["size"])
            assert iou(raster.mask(contours.trace(mask), 720, 1280), mask) > 0.999
