"""Outlines that even-odd filling fills as the union of an instance's rings, and one line around several of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.export.outlines import joined, plain_rings, signed_area


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


SQUARE = rectangle(0, 0, 10, 10)


def test_rings_apart_stay_as_they_are_and_run_the_same_way_round() -> None:
    left, right = rectangle(1.5, 2, 10, 10), rectangle(20, 2, 30.25, 10)[::-1]
    found = plain_rings([left, right], 40, 40)
    assert [ring.tolist() for ring in found] == [left.tolist(), right[::-1].tolist()]


@pytest.mark.parametrize(
    ("rings", "area"),
    [
        ([SQUARE, rectangle(5, 5, 15, 15)], 175),
        ([SQUARE, SQUARE], 100),
        ([SQUARE, rectangle(3, 3, 7, 7)], 100),
        ([rectangle(0, 0, 30, 5), rectangle(0, 0, 5, 30), rectangle(25, 0, 30, 30), rectangle(0, 25, 30, 30)], 500),
        ([np.concatenate([SQUARE, SQUARE])], 100),
    ],
    ids=["overlapping", "twice", "one in the other", "around a hole", "wound twice"],
)
def test_overlapping_rings_have_the_area_of_their_union(rings: list[np.ndarray], area: float) -> None:
    found = plain_rings(rings, 40, 40)
    assert sum(map(signed_area, found)) == area
    assert signed_area(joined(found)) == area


def test_outlines_are_where_the_rings_were() -> None:
    (found,) = plain_rings([SQUARE + np.array([7, 21]), SQUARE + np.array([12, 26])], 60, 60)
    assert (found.min(axis=0).tolist(), found.max(axis=0).tolist()) == ([7, 21], [22, 36])


def test_a_line_leads_from_the_nearest_vertex_to_the_nearest_and_back() -> None:
    ring = joined([rectangle(0, 0, 4, 4), rectangle(20, 0, 24, 4), rectangle(6, 0, 10, 4)]).tolist()
    steps = [(tuple(start), tuple(end)) for start, end in zip(ring, [*ring[1:], ring[0]], strict=True)]
    assert {((4, 0), (6, 0)), ((6, 0), (4, 0)), ((10, 0), (20, 0)), ((20, 0), (10, 0))} <= set(steps)
    assert len(ring) == 4 + 6 + 6


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8, unique=True))
def test_a_joined_ring_has_every_vertex_and_the_area_of_all(places: list[tuple[int, int]]) -> None:
    rings = [rectangle(10 * x, 10 * y, 10 * x + 3, 10 * y + 2) for x, y in places]
    ring = joined(plain_rings(rings, 100, 100))
    assert signed_area(ring) == 6 * len(rings)
    assert {tuple(each) for each in ring.tolist()} == {tuple(each) for part in rings for each in part.tolist()}


def test_long_rings_are_joined_without_trying_all_pairs_of_vertices() -> None:
    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    circle = 40 + 30 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert signed_area(joined([circle, circle + np.array([70, 0])])) == pytest.approx(2 * np.pi * 900, rel=1e-6)
