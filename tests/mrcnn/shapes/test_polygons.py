"""Clipping and filling polygons."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from mrcnn.shapes import polygons
from mrcnn.shapes.polygons import FULL

SQUARE = np.array([[2.0, 1.0], [6.0, 1.0], [6.0, 4.0], [2.0, 4.0]])


def filled(*rings, shape=(8, 8)):
    return polygons.fill([list(rings)], np.array([[0, 0, *shape]]), shape)[0]


def test_a_rectangle_on_pixel_borders_fills_its_pixels_and_no_more():
    expected = np.zeros((8, 8), bool)
    expected[1:4, 2:6] = True
    assert np.array_equal(filled(SQUARE), expected)
    assert polygons.pixel_box([SQUARE], (0, 0, 8, 8)) == (1, 2, 4, 6)


def test_an_instance_is_the_union_of_its_rings_whichever_way_they_turn():
    other = SQUARE[::-1] + 1
    union = filled(SQUARE) | filled(other)
    assert np.array_equal(filled(SQUARE, other), union)


def test_the_middle_of_a_star_is_filled():
    angles = np.arange(5) * 4 * np.pi / 5
    star = 10 + 9 * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    assert filled(star, shape=(20, 20))[10, 10]


def test_a_ring_across_the_border_keeps_what_is_inside():
    ring = polygons.clip_ring(SQUARE - [4, 0], (0, 0, 8, 8))
    assert ring.min(axis=0).tolist() == [0, 1]
    assert ring.max(axis=0).tolist() == [2, 4]


def test_a_ring_outside_leaves_nothing():
    assert not len(polygons.clip_ring(SQUARE + 20, (0, 0, 8, 8)))


def test_the_box_of_a_clipped_diagonal_is_that_of_its_visible_part():
    sliver = np.array([[-10.0, 0.0], [10.0, 20.0], [10.0, 22.0], [-10.0, 2.0]])
    ring = polygons.clip_ring(sliver, (0, 0, 12, 12))
    assert ring[:, 0].max() <= 2


def test_a_speck_between_pixel_centres_still_has_a_box_of_one_pixel():
    speck = np.array([[3.6, 3.6], [3.9, 3.6], [3.7, 3.9]])
    assert polygons.pixel_box([speck], (0, 0, 8, 8)) == (3, 3, 4, 4)


def test_a_grid_finer_than_pixels_covers_the_box_alone():
    grid = polygons.fill([[SQUARE]], np.array([[1, 2, 4, 6]]), (56, 56))
    assert grid.shape == (1, 56, 56)
    assert grid.all()


@example([(0.0, 0.0), (23.028171453343717, 23.028171453343717), (-5.44644025689273, -5.44644025689273)])
@given(st.lists(st.tuples(st.floats(-20, 40), st.floats(-20, 40)), min_size=3, max_size=9))
def test_clipping_changes_no_pixel_inside_the_window(points):
    ring = np.array(points)
    whole = polygons.fill([[ring + 20]], np.array([[0, 0, 60, 60]]), (60, 60))[0][20:40, 20:40]
    inside = polygons.clip_ring(ring, (0, 0, 20, 20))
    part = filled(inside, shape=(20, 20)) if len(inside) else np.zeros((20, 20), bool)
    assert not ((whole != part) & (from_edges(ring, 20) > 1e-6)).any()  # nearer centres are in or out by rounding


def from_edges(ring, size):
    """How far the centre of each pixel of a square lies from the nearest edge of a ring, in pixels."""
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    centres = np.stack([x, y], axis=-1)[:, :, None]
    edges = np.roll(ring, -1, axis=0) - ring
    along = ((centres - ring) * edges).sum(axis=-1) / np.maximum((edges**2).sum(axis=-1), 1e-300)
    nearest = ring + np.clip(along, 0, 1)[..., None] * edges
    return np.sqrt(((centres - nearest) ** 2).sum(axis=-1)).min(axis=-1)


def test_cells_that_are_partly_covered_say_how_far():
    left_half = np.array([[0.0, 0.0], [3.5, 0.0], [3.5, 4.0], [0.0, 4.0]])
    coverage = polygons.coverage([[left_half], [left_half[:, ::-1]]], np.array([[0, 0, 4, 4]] * 2), (4, 4))
    assert coverage.dtype == np.uint8
    assert coverage[0, 0].tolist() == [FULL, FULL, FULL, FULL // 2]
    assert coverage[1, :, 0].tolist() == [FULL, FULL, FULL, FULL // 2]
    corner = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]])
    assert polygons.coverage([[corner]], np.array([[0, 0, 2, 2]]), (2, 2))[0].tolist() == [[FULL // 4, 0], [0, 0]]
