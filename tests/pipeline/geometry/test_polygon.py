"""Single rings: cleaning, bounds, and the area that rings fill, by hand and against pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn.shapes import polygons
from pipeline.geometry import polygon
from pipeline.geometry.polygon import EDGES_AT_ONCE, filled_area

FINER = 32
"""Pixels a unit: what a ring touches of those is little more than what it fills."""

rings = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 10)), min_size=3, max_size=7)


def ring(*points: tuple[float, float]) -> polygon.Ring:
    return np.array(points, float)


def test_official_rounding_takes_halves_up() -> None:
    assert polygon.rounded([(0.5, 1.5), (-0.5, 2.4999)]).tolist() == [[1, 2], [0, 2]]


def test_a_repeated_closing_vertex_and_repeated_neighbours_are_taken_off() -> None:
    assert polygon.clean([(0, 0), (4, 0), (4, 0), (4, 4), (0, 0)]).tolist() == [[0, 0], [4, 0], [4, 4]]
    assert polygon.clean([(1, 1), (1, 1), (1, 1)]).tolist() == [[1, 1]]
    assert polygon.clean(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("points", "has_area"),
    [
        ([(0, 0), (4, 0)], False),
        ([(0, 0), (4, 0), (9, 0)], False),
        ([(0, 0), (4, 4), (2, 2), (8, 8)], False),
        ([(0, 0), (4, 0), (4, 1)], True),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], True),
    ],
)
def test_vertices_on_one_line_enclose_nothing_but_a_figure_of_eight_does(points: list, has_area: bool) -> None:
    assert polygons.encloses_area(polygon.clean(points)) is has_area


def test_the_area_of_a_rectangle() -> None:
    ring = polygon.rectangle(10, 20, 14.5, 22)
    assert polygon.area(ring) == 9


def test_a_ring_that_does_not_cross_itself_has_the_area_of_the_shoelace_formula() -> None:
    assert filled_area([polygon.rectangle(1.5, 2, 4, 9)]) == pytest.approx(17.5)
    dented = ring((0, 0), (9, 1), (5, 4), (8, 8), (1, 7))
    assert filled_area([dented]) == pytest.approx(polygon.area(dented)) == filled_area([dented[::-1]])


def test_halves_that_turn_opposite_ways_are_both_filled() -> None:
    assert filled_area([ring((0, 0), (10, 5), (10, 0), (0, 5))]) == pytest.approx(25)


def test_what_is_filled_twice_counts_once() -> None:
    square = polygon.rectangle(0, 0, 4, 4)
    assert filled_area([np.concatenate([square, square])]) == pytest.approx(16)
    assert filled_area([square, square[::-1]]) == pytest.approx(16)
    assert filled_area([square, polygon.rectangle(2, 2, 6, 3), polygon.rectangle(10, 10, 11, 11)]) == pytest.approx(19)


def test_rings_of_many_vertices_are_crossed_with_all_of_each_other() -> None:
    turn = np.linspace(0, 2 * np.pi, 2 * EDGES_AT_ONCE, endpoint=False)
    circle = 10 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    union = 2 * np.pi * 100 - (2 * 100 * np.arccos(0.5) - 5 * np.sqrt(300))
    assert filled_area([circle, circle + np.array([10, 0])]) == pytest.approx(union, rel=1e-4)


@settings(deadline=None)
@given(st.lists(rings, min_size=1, max_size=3))
def test_any_rings_fill_what_their_pixels_do(several: list) -> None:
    given = [np.array(points, float) for points in several]
    touched = polygons.mask([each * FINER for each in given], 10 * FINER, 12 * FINER).sum() / FINER**2
    length = sum(np.hypot(*(each - np.roll(each, 1, axis=0)).T).sum() for each in given)
    assert touched - (2 * length + 8) / FINER <= filled_area(given) <= touched + 1e-6
