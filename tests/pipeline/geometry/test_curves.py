"""BDD's vertices with letters, flattened."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.geometry import curves

coordinates = st.floats(-2000, 2000)
points = st.tuples(coordinates, coordinates)


def flatten(vertices: list, letters: str | None, closed: bool, tolerance: float) -> np.ndarray:
    """One path, between others that must not matter to it."""
    line = [(5, 5), (9, 9)]
    points = np.array([*line, *vertices, *line], float)
    count = len(vertices)
    flat, lengths = curves.flatten(points, [2, count, 2], [None, letters, "LL"], [False, closed, True], tolerance)
    assert (flat[:2].tolist(), flat[-2:].tolist()) == (points[:2].tolist(), points[:2].tolist())
    assert len(flat) == lengths.sum() == lengths[1] + 4
    return flat[2:-2]


def on_curve(four: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points of the cubic by de Casteljau's construction, another way than the one tested."""
    t = t[:, None, None]
    rest = np.broadcast_to(four, (len(t), 4, 2))
    while rest.shape[1] > 1:
        rest = rest[:, :-1] * (1 - t) + rest[:, 1:] * t
    return rest[:, 0]


def distance_to_path(of: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest segment of the path."""
    start, along = path[:-1], np.diff(path, axis=0)
    squared = np.maximum((along**2).sum(axis=1), 1e-30)
    share = np.clip(((of[:, None] - start) * along).sum(axis=2) / squared, 0, 1)
    return np.hypot(*np.moveaxis(of[:, None] - start - share[..., None] * along, 2, 0)).min(axis=1)


def test_lines_stay_as_they_are() -> None:
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    assert flatten(square, "LLLL", True, 0.5).tolist() == [list(map(float, point)) for point in square]
    assert flatten(square, None, True, 0.5).tolist() == flatten(square, "LLLL", True, 0.5).tolist()


def test_a_curve_whose_controls_lie_on_its_chord_is_one_line() -> None:
    assert flatten([(0, 0), (10, 0), (20, 0), (30, 0)], "LCCC", False, 0.5).tolist() == [[0, 0], [30, 0]]


def test_a_curve_passes_its_known_middle() -> None:
    middle = flatten([(0, 0), (0, 40), (40, 40), (40, 0)], "LCCC", False, 1e-3)
    assert np.abs(middle - (20, 30)).sum(axis=1).min() < 1e-1


@pytest.mark.parametrize("letters", ["LCCL", "CCCL", "LCCC", "CCCC"])
def test_a_curve_takes_its_controls_and_end_whatever_their_letters(letters: str) -> None:
    path = [(0, 0), (0, 40), (40, 40), (40, 0)]
    assert flatten(path, letters, False, 0.5).tolist() == flatten(path, "LCCC", False, 0.5).tolist()


def test_lines_go_on_after_a_curve() -> None:
    path = flatten([(0, 0), (0, 40), (40, 40), (40, 0), (50, 0), (60, 9)], "LCCCLL", False, 0.5)
    assert path[-3:].tolist() == [[40, 0], [50, 0], [60, 9]]


def test_a_curve_that_ends_in_two_controls_returns_to_its_start() -> None:
    path = [(0, 0), (40, 0), (40, 40), (0, 40)]
    closed = flatten(path, "LLCC", True, 0.5)
    assert closed[-1].tolist() == [0, 0]
    assert closed.tolist() == flatten([*path, (0, 0)], "LLCCL", False, 0.5).tolist()


def test_controls_without_a_partner_are_corners() -> None:
    assert flatten([(0, 0), (4, 0), (4, 4)], "LLC", True, 0.5).tolist() == [[0, 0], [4, 0], [4, 4]]
    assert flatten([(0, 0), (4, 0), (4, 4)], "LCC", False, 0.5).tolist() == [[0, 0], [4, 0], [4, 4]]


@pytest.mark.parametrize(("count", "letters"), [(3, "LL"), (3, "LLLL"), (3, "LXL"), (3, "llc")])
def test_letters_that_don_t_fit_are_refused(count: int, letters: str) -> None:
    with pytest.raises(ValueError, match="types"):
        flatten([(0, 0)] * count, letters, True, 0.5)


@given(st.lists(points, min_size=4, max_size=4), st.sampled_from([0.05, 0.5, 3.0]))
def test_no_point_of_a_curve_lies_farther_away_than_the_tolerance(four: list, tolerance: float) -> None:
    control = np.array(four)
    path = flatten(four, "LCCC", False, tolerance)
    true = on_curve(control, np.linspace(0, 1, 200))
    assert distance_to_path(true, path).max() <= tolerance + 1e-6
    assert path[-1].tolist() == control[3].tolist()


@given(st.lists(points, min_size=1, max_size=12), st.data(), st.booleans())
def test_any_letters_give_finite_vertices_and_keep_the_start(vertices: list, data: st.DataObject, closed: bool) -> None:
    letters = data.draw(st.text("LC", min_size=len(vertices), max_size=len(vertices)))
    path = flatten(vertices, letters, closed, 0.5)
    assert np.isfinite(path).all()
    assert path[:1].tolist() == [list(point) for point in vertices[:1]]


@pytest.mark.parametrize("tolerance", [1e-30, 0.5])
def test_250_kilobytes_of_curves_far_outside_do_not_fill_the_memory(tolerance: float) -> None:
    far = [(0, 0), *[(0, 1e6), (1e6, 1e6), (1e6, 0)] * 3_000]  # some 80 bytes a curve in a label file
    assert flatten(far, "L" + "CCC" * 3_000, False, tolerance).nbytes < 32 << 20
