"""The areas that BDD's poly2d describe, drawn for many labels at once.

What `bdd_label` would reject, or keep only in part, is pointed out and left to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.formats.bdd import label
from pipeline.geometry import bezier_table, polygon, ring_table
from pipeline.geometry.ring_table import RingTable
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError

Paths = list[tuple[label.Vertices, str | None]]
"""Vertices and letters of each path of a label."""


@dataclass(frozen=True)
class Drawn:
    """The rings of the labels that are sound: `each` ([N] int64) says how many each of them has."""

    rings: RingTable
    each: NDArray[np.int64]
    sound: NDArray[np.bool_]
    """[all labels]: False where `bdd_label` has to look."""


def draw(labels: Sequence[msgspec.Raw], tolerance: float) -> Drawn:
    """Return the rings of closed paths, curves flattened within `tolerance` pixels, as `bdd_label` makes them."""
    paths = [_paths(text) for text in labels]
    points = _points(paths)
    if not (np.abs(points) <= reasons.FARTHEST).all():
        paths = [its if _near(its) else [] for its in paths]
        points = _points(paths)
    sound = np.array([bool(each) for each in paths], bool)
    kept = [each for each in paths if each]
    each = np.array([len(its) for its in kept], np.int64)
    if not kept:
        return Drawn(RingTable(np.empty((0, 2)), each), each, sound)
    vertices, letters = zip(*chain.from_iterable(kept), strict=True)
    counts = [len(its) for its in vertices]
    flat, lengths = bezier_table.flatten_all(polygon.rounded(points), counts, letters, tolerance)
    rings = ring_table.cleaned(RingTable(flat, lengths))
    whole = np.logical_and.reduceat(ring_table.enclose_area(rings), np.cumsum(each) - each)
    if whole.all():
        return Drawn(rings, each, sound)
    sound[sound] = whole
    return Drawn(rings.chosen(np.flatnonzero(np.repeat(whole, each))), each[whole], sound)


def _points(paths: Sequence[Paths]) -> NDArray[np.float64]:
    """Return the vertices of all paths ([P, 2])."""
    vertices = chain.from_iterable(its for path in paths for its, _ in path)
    return np.fromiter(chain.from_iterable(vertices), np.float64).reshape(-1, 2)


def _near(paths: Paths) -> bool:
    return bool((np.abs(_points([paths])) <= reasons.FARTHEST).all())


def _paths(text: msgspec.Raw) -> Paths:
    """Return vertices and letters of a label's paths; none where one of them is not as it should be."""
    try:
        paths = label.paths(bytes(text))
        for vertices, types in paths:
            bezier_table.steps(len(vertices), types)
            if not vertices:
                return []
    except (LabelError, ValueError):
        return []
    return paths
