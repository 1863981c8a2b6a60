"""The area that rings fill together, against hand-worked areas and against pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn.shapes import polygons
from pipeline.geometry import polygon
from pipeline.geometry.area import EDGES_AT_ONCE, filled_area

FINER = 32
"""Pixels a unit: what a ring touches of those is little more than what it fills."""

rings = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 10)), min_size=3, max_size=7)


def ring(*points: tuple[float, float]) -> polygon.Ring:
    return np.array(points, float)


def test_a_ring_that_does_not_cross_itself_has_the_area_of_the_shoelace_formula() -> None:
    assert filled_area([polygon.rectangle(1.5, 2, 4, 9)]) == pytest.approx(17.5)
    dented = ring((0, 0), (9, 1), (5, 4), (8, 8), (1, 7))
    assert filled_area([dented]) == pytest.approx(polygon.area(dented)) == filled_area([dented[::-1]])


def test_a_simple_ring_has_its_area_to_the_last_bit() -> None:
    """Half a pixel more or less decides whether a label is left out."""
    assert filled_area([ring((45, 48), (4, 34), (17, 29))]) == 193.5
    assert filled_area([ring((0, 0), (9, 1), (5, 4), (8, 8), (1, 7))]) == polygon.area(
        ring((0, 0), (9, 1), (5, 4), (8, 8), (1, 7))
    )


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
