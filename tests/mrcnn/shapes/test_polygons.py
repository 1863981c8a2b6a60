"""What a mask is, against hand-worked pixels and fine samples: at the image's own resolution, and at any other."""

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mrcnn.shapes import polygons
from mrcnn.shapes.polygons import FULL

SQUARE = np.array([[2.0, 1.0], [6.0, 1.0], [6.0, 4.0], [2.0, 4.0]])
CENTRES = (0.0, 0.0)
"""A pixel without extent is touched where its centre is inside."""

rings = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 20)), min_size=3, max_size=8)
triangles = st.lists(st.tuples(st.floats(0, 24), st.floats(0, 20)), min_size=3, max_size=3)


def pixels(*ring, height=6, width=6):
    """The mask of one ring, a text a row."""
    drawn = polygons.mask([np.array(ring, float)], height, width)
    return ["".join("#" if each else "." for each in row) for row in drawn]


def rectangle(left, top, right, bottom):
    return np.array([(left, top), (left, bottom), (right, bottom), (right, top)], float)


def filled(*rings, shape=(8, 8), pixel=polygons.STORED):
    return polygons.fill([list(rings)], np.array([[0, 0, *shape]]), shape, pixel)[0]


def test_a_rectangle_from_one_to_four_is_three_pixels_wide():
    assert pixels((1, 1), (4, 1), (4, 3), (1, 3)) == ["......", ".###..", ".###..", "......", "......", "......"]


def test_every_pixel_that_is_touched_is_filled():
    assert pixels((0, 0), (4, 4), (0, 4)) == ["#.....", "##....", "###...", "####..", "......", "......"]
    assert pixels((1.5, 1.5), (3.5, 1.5), (3.5, 2.5)) == ["......", ".###..", "..##..", "......", "......", "......"]


def test_a_figure_of_eight_and_a_double_loop_are_filled_nonzero():
    assert pixels((0, 0), (4, 4), (4, 0), (0, 4)) == ["#..#..", "####..", "####..", "#..#..", "......", "......"]
    star_twice = [(0, 0), (5, 0), (5, 5), (0, 5), (0, 0), (4, 0), (4, 4), (0, 4)]
    assert pixels(*star_twice)[:5] == ["#####."] * 5


def test_rings_are_united_and_cut_at_the_image():
    drawn = polygons.mask([rectangle(-3, -3, 2, 2), rectangle(1, 1, 99, 3)], 4, 5)
    assert drawn.astype(int).tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]]


def test_rings_outside_and_without_area_draw_nothing():
    assert not polygons.mask([rectangle(9, 9, 12, 12), np.array([(0.0, 0), (3, 3), (1, 1)])], 5, 5).any()
    assert not polygons.mask([], 5, 5).any()


@given(rings, st.integers(-3, 3), st.integers(-3, 3))
def test_a_mask_moves_with_its_ring(points, right, down):
    ring = np.array(points, float)
    still, moved = polygons.mask([ring + 4], 32, 36), polygons.mask([ring + 4 + (right, down)], 32, 36)
    assert (np.roll(still, (down, right), axis=(0, 1)) == moved).all()


@given(rings)
def test_direction_start_and_mirror_change_nothing(points):
    ring = np.array(points, float)
    drawn = polygons.mask([ring], 20, 24)
    assert (polygons.mask([ring[::-1]], 20, 24) == drawn).all()
    assert (polygons.mask([np.roll(ring, 2, axis=0)], 20, 24) == drawn).all()
    assert (polygons.mask([(24, 0) + ring * (-1, 1)], 20, 24) == drawn[:, ::-1]).all()


def sampled(triangle):
    """[20, 24, 10, 10] bool: which of the hundred samples of each pixel are inside."""
    fine = np.stack(np.meshgrid(np.arange(0.05, 24, 0.1), np.arange(0.05, 20, 0.1)), axis=-1)
    edges = np.roll(triangle, -1, axis=0) - triangle
    sides = [
        edge[0] * (fine[..., 1] - at[1]) - edge[1] * (fine[..., 0] - at[0])
        for at, edge in zip(triangle, edges, strict=True)
    ]
    inside = np.all(np.array(sides) > 1e-9, axis=0) | np.all(np.array(sides) < -1e-9, axis=0)
    return inside.reshape(20, 10, 24, 10).swapaxes(1, 2)


@given(triangles)
def test_a_triangle_covers_just_the_pixels_with_a_point_inside_it(points):
    """Pixels are sampled finely; one that the triangle only grazes may be missed by the samples, not the other way."""
    triangle = np.array(points)
    drawn = polygons.mask([triangle], 20, 24)
    assert not (sampled(triangle).any(axis=(2, 3)) & ~drawn).any()
    (x1, y1), (x2, y2) = triangle[1:] - triangle[0]
    assert abs(x1 * y2 - x2 * y1) / 2 <= drawn.sum() + 1e-6


@given(triangles)
def test_pixels_without_extent_are_filled_where_their_centres_are_inside(points):
    triangle = np.array(points)
    near = sampled(triangle)[:, :, 4:6, 4:6]
    drawn = filled(triangle, shape=(20, 24), pixel=CENTRES)
    sure = near.all(axis=(2, 3)) | ~near.any(axis=(2, 3))
    (x1, y1), (x2, y2) = triangle[1:] - triangle[0]
    assume(abs(x1 * y2 - x2 * y1) > 10)  # a sliver passes between the samples
    assert (drawn == near.all(axis=(2, 3)))[sure].mean() > 0.98


@given(rings, st.sampled_from([3, 5]))
def test_a_grid_finer_than_pixels_has_their_mask_at_their_centres(points, times):
    ring = np.array(points, float)
    fine = filled(ring * times, shape=(20 * times, 24 * times), pixel=(times, times))
    assume(polygons.encloses_area(ring))
    assert (fine[times // 2 :: times, times // 2 :: times] == polygons.mask([ring], 20, 24)).all()


@given(st.floats(0.25, 1), st.floats(0, 1), st.floats(0, 1))
def test_an_instance_that_is_shown_smaller_keeps_its_share_of_the_image(scale, right, down):
    """Each pixel of the input that is touched would make it larger, those whose centres are inside, smaller."""
    turn = np.arange(40) * np.pi / 20
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 12 + 20 + (right, down)
    stored = polygons.mask([circle], 40, 40).sum()
    shown = polygons.fill([[circle * scale]], np.array([[0, 0, 40, 40]]), (400, 400), (scale, scale))
    assert abs(shown.sum() / (10 * scale) ** 2 / stored - 1) < 0.05


def test_an_instance_is_the_union_of_its_rings_whichever_way_they_turn():
    other = SQUARE[::-1] + 1
    assert np.array_equal(filled(SQUARE, other), filled(SQUARE) | filled(other))


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
    assert polygons.clipped([SQUARE + 20, SQUARE - [6, 0], SQUARE], (0, 0, 8, 8)) == [SQUARE]


def test_the_box_is_that_of_the_pixels_touched():
    assert polygons.pixel_box([SQUARE], (0, 0, 8, 8)) == (1, 2, 4, 6)
    assert polygons.pixel_box([SQUARE, rectangle(3, 1, 6.2, 2)], (0, 0, 8, 8)) == (1, 2, 4, 7)


def test_the_box_of_an_instance_that_is_shown_smaller_is_that_of_the_stored_pixels_rounded():
    """At a quarter of its size, ten rows further down: columns 9 to 21 of the image are touched, rows 4 to 17."""
    ring = rectangle(9.6, 4, 20.4, 16.5) / 4 + (0, 10)
    assert polygons.pixel_box([ring], (10, 0, 20, 10), (0.25, 0.25), (10, 0)) == (11, 2, 14, 5)


def test_the_box_of_a_clipped_diagonal_is_that_of_its_visible_part():
    sliver = np.array([[-10.0, 0.0], [10.0, 20.0], [10.0, 22.0], [-10.0, 2.0]])
    ring = polygons.clip_ring(sliver, (0, 0, 12, 12))
    assert polygons.pixel_box([ring], (0, 0, 12, 12))[3] == 2


def test_a_speck_still_has_a_box_of_one_pixel():
    speck = np.array([[3.6, 3.6], [3.9, 3.6], [3.7, 3.9]])
    assert polygons.pixel_box([speck], (0, 0, 8, 8)) == (3, 3, 4, 4)
    assert polygons.pixel_box([speck], (0, 0, 8, 8), (0.1, 0.1)) == (3, 3, 4, 4)


def test_a_grid_finer_than_pixels_covers_the_box_alone():
    grid = polygons.fill([[SQUARE]], np.array([[1, 2, 4, 6]]), (56, 56))
    assert grid.shape == (1, 56, 56)
    assert grid.all()


@example([(0.0, 0.0), (23.028171453343717, 23.028171453343717), (-5.44644025689273, -5.44644025689273)])
@given(st.lists(st.tuples(st.floats(-20, 40), st.floats(-20, 40)), min_size=3, max_size=9))
def test_clipping_changes_no_pixel_inside_the_window(points):
    """What is grazed by less than a millionth of a pixel may go either way by rounding."""
    ring = np.array(points)
    inside = polygons.clip_ring(ring, (0, 0, 20, 20))
    part = filled(inside, shape=(20, 20)) if len(inside) else np.zeros((20, 20), bool)
    surely, at_all = (
        filled(ring + 20, shape=(60, 60), pixel=(side, side))[20:40, 20:40] for side in (1 - 2e-6, 1 + 2e-6)
    )
    assert not (surely & ~part).any()
    assert not (part & ~at_all).any()


def test_cells_that_are_partly_covered_say_how_far():
    """Three pixels and a half are four that are touched; shown at half their size, they are two cells."""
    left = rectangle(0, 0, 3.5, 4)
    coverage = polygons.coverage([[left / 2], [left[:, ::-1] / 2]], np.array([[0, 0, 4, 4]] * 2), (4, 4), (0.5, 0.5))
    assert coverage.dtype == np.uint8
    assert coverage[0, 0].tolist() == [FULL, FULL, 0, 0]
    assert coverage[1, :, 0].tolist() == [FULL, FULL, 0, 0]
    halved = polygons.coverage([[left]], np.array([[0, 0, 4, 4]]), (4, 4), CENTRES)
    assert halved[0, 0].tolist() == [FULL, FULL, FULL, FULL // 2]
    corner = polygons.coverage([[rectangle(0, 0, 0.5, 0.5)]], np.array([[0, 0, 2, 2]]), (2, 2), CENTRES)
    assert corner[0].tolist() == [[FULL // 4, 0], [0, 0]]
