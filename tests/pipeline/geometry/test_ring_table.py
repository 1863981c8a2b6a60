"""Many rings at once: clipped to their images, lines widened."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mrcnn.shapes import polygons
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Box
from pipeline.geometry.ring_table import RingTable, clip, ribbons
from tests.pipeline.raw_tables import bounds

whole_points = st.tuples(st.integers(-30, 60), st.integers(-30, 60))
whole_rings = st.lists(whole_points, min_size=3, max_size=9).map(lambda points: np.array(points, float))


def table_of(rings: list[np.ndarray]) -> RingTable:
    lengths = np.array([len(ring) for ring in rings], int)
    return RingTable(np.concatenate([np.empty((0, 2)), *rings]), lengths)


def clipped(rings: list[np.ndarray], width: int, height: int) -> list[np.ndarray]:
    """What of each ring lies in an image."""
    return clip(table_of(rings), np.full((len(rings), 2), (width, height)))[0].separate()


def test_a_ring_inside_the_image_is_left_alone() -> None:
    ring = polygon.rectangle(0, 0, 1280, 720)
    assert (clipped([ring], 1280, 720)[0] == ring).all()


def test_a_vertex_just_outside_is_moved_to_the_border() -> None:
    (ring,) = clipped([polygon.rectangle(1270, -3, 1280.64, 10)], 1280, 720)
    assert bounds([ring]) == Box(1270, 0, 10, 10)


def test_a_ring_outside_or_touching_only_the_border_is_left_out() -> None:
    outside = [polygon.rectangle(-9, 0, -1, 5), polygon.rectangle(-9, 0, 0, 5), polygon.rectangle(0, 720, 5, 730)]
    assert clipped(outside, 1280, 720) == []


@pytest.mark.parametrize(
    "around",
    [
        [(25, 5), (30, 5), (30, 30), (5, 30), (5, 25), (25, 25)],
        [(25, -5), (30, -5), (30, 30), (-9, 30), (-9, -5), (-5, -5), (-5, 25), (25, 25)],
        [
            (-5, 8),
            (-5, -5),
            (25, -5),
            (25, 25),
            (-5, 25),
            (-5, 9),
            (-9, 9),
            (-9, 29),
            (29, 29),
            (29, -9),
            (-9, -9),
            (-9, 8),
        ],
    ],
    ids=["a corner", "three sides", "all sides"],
)
def test_a_ring_that_lies_outside_is_left_out_wherever_it_runs(around: list) -> None:
    assert clipped([np.array(around, float)], 20, 20) == []


def test_the_box_of_a_ring_doesn_t_reach_along_the_border() -> None:
    """A car at the right border, of which a line goes on outside, round the corner of the image."""
    car = [(15, 5), (30, 5), (30, 30), (5, 30), (5, 28), (25, 28), (25, 10), (15, 10)]
    (ring,) = clipped([np.array(car, float)], 20, 20)
    assert bounds([ring]) == Box(15, 5, 5, 5)


def runs_back_along_a_border(ring: list) -> bool:
    """Whether a ring turns straight back at a point on a border of an image of 32 × 24 pixels."""
    for before, at, after in zip([ring[-1], *ring], ring, [*ring[1:], ring[0]], strict=False):
        for axis, side in ((0, 32), (1, 24)):
            on_border = before[axis] == at[axis] == after[axis] and at[axis] in (0, side)
            if on_border and (at[1 - axis] - before[1 - axis]) * (after[1 - axis] - at[1 - axis]) < 0:
                return True
    return False


@given(st.lists(whole_rings, max_size=3))
def test_no_clipped_ring_runs_back_along_a_border_and_each_is_clipped_by_itself(rings: list[np.ndarray]) -> None:
    together = clipped(rings, 32, 24)
    assert [ring.tolist() for ring in together] == [each.tolist() for ring in rings for each in clipped([ring], 32, 24)]
    outside = [ring for ring in rings if (ring < 0).any() or (ring > (32, 24)).any()]
    assert not any(runs_back_along_a_border(ring.tolist()) for ring in clipped(outside, 32, 24))


def test_a_triangle_is_cut_where_its_sides_cross_the_border() -> None:
    (ring,) = clipped([np.array([(5.0, -5.0), (10.0, 5.0), (0.0, 5.0)])], 20, 20)
    assert sorted(ring.tolist()) == [[0, 5], [2.5, 0], [7.5, 0], [10, 5]]


def doubles_back(ring: np.ndarray) -> bool:
    """Whether two sides in a row lie on one another: such a spike has no area, but is drawn."""
    sides = np.roll(ring, -1, axis=0) - ring
    following = np.roll(sides, -1, axis=0)
    across = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    return bool(((across == 0) & ((sides * following).sum(axis=1) <= 0)).any())


@given(whole_rings)
def test_clipping_changes_no_pixel_inside(ring: np.ndarray) -> None:
    assume(not doubles_back(ring))
    wide = polygons.mask([ring + 30], 90, 90)[30:54, 30:62]
    assert (polygons.mask(clipped([ring], 32, 24), 24, 32) == wide).all()


@given(whole_rings)
def test_a_clipped_ring_lies_inside_and_stays_when_clipped_again(ring: np.ndarray) -> None:
    for inside in clipped([ring], 32, 24):
        assert (inside >= 0).all()
        assert (inside <= (32, 24)).all()
        assert (clipped([inside], 32, 24)[0] == inside).all()


def widened(*lines: list[tuple[int, int]]) -> np.ndarray:
    """The last of the rings around lines, four pixels wide."""
    return ribbons(table_of([np.array(line, float) for line in lines]), 4).separate()[-1]


@pytest.mark.parametrize("before", [(), ([(3, 3), (9, 9), (9, 3)],)], ids=["alone", "behind another"])
def test_a_line_becomes_a_ribbon_of_its_width(before: tuple) -> None:
    ring = widened(*before, [(0, 0), (10, 0)])
    assert sorted(ring.tolist()) == [[0, -2], [0, 2], [10, -2], [10, 2]]


def test_a_ribbon_that_turns_back_on_itself_is_finite() -> None:
    assert np.isfinite(widened([(0, 0), (10, 0), (0, 0)])).all()
