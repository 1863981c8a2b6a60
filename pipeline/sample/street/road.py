"""The street itself: where its lanes lie, how it is painted, and the outline of the area one may drive on.

What stands on the street is elsewhere. Offsets are metres to the right of the middle of the own lane.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pipeline.sample.arrays import Floats
from pipeline.sample.camera.light import Conditions
from pipeline.sample.camera.view import WIDTH, View

STRAIGHT_BEYOND = 90.0

Point: TypeAlias = tuple[float, float]
"""(u, v) in pixels."""


@dataclass(frozen=True)
class Crossing:
    """A street that crosses ours between the depths `near` and `far`."""

    near: float
    far: float
    crosswalk: bool


@dataclass(frozen=True)
class Road:
    """Lanes of one direction (`lanes`, ours is number `own` from the left) and of the other (`oncoming`)."""

    lane_width: float
    lanes: int
    own: int
    oncoming: int
    marked: bool
    yellow: bool
    parking_left: float
    parking_right: float
    walk: float
    curvature: float
    heading: float
    shift: float
    crossing: Crossing | None

    def middle(self, z: Floats | float) -> Floats:
        """Return x of the own lane's middle at depth `z`, both in metres."""
        z = np.asarray(z, dtype=np.float64)
        bent = np.minimum(z, STRAIGHT_BEYOND)
        curve = self.curvature * bent**2 / 2 + self.curvature * STRAIGHT_BEYOND * (z - bent)
        return self.shift + self.heading * z + curve

    def x(self, offset: float, z: float) -> float:
        """Return x in metres of a place `offset` metres right of the own lane's middle."""
        return float(self.middle(z)) + offset

    def yaw(self, z: float) -> float:
        """Return the heading of the road at depth `z` in radians."""
        return float(np.arctan(self.heading + self.curvature * min(z, STRAIGHT_BEYOND)))

    def lane_middle(self, lane: int) -> float:
        """Return the offset of a lane's middle; lanes count from ours to the right, negative to the left."""
        return lane * self.lane_width

    @property
    def centre_line(self) -> float:
        """Offset of the line between the two directions."""
        return -(self.own + 0.5) * self.lane_width

    @property
    def left_lane_edge(self) -> float:
        """Offset where the leftmost lane ends."""
        return self.centre_line - self.oncoming * self.lane_width

    @property
    def right_lane_edge(self) -> float:
        """Offset where the rightmost lane ends."""
        return (self.lanes - self.own - 0.5) * self.lane_width

    @property
    def left_curb(self) -> float:
        """Offset of the left curb."""
        return self.left_lane_edge - self.parking_left

    @property
    def right_curb(self) -> float:
        """Offset of the right curb."""
        return self.right_lane_edge + self.parking_right

    def in_crossing(self, z: float, margin: float = 0.0) -> bool:
        """Whether depth `z` lies in the crossing street, widened by `margin` metres."""
        return self.crossing is not None and self.crossing.near - margin < z < self.crossing.far + margin


def sample_road(conditions: Conditions, rng: np.random.Generator) -> Road:
    """Draw a road that fits the place: a wide highway, a city street with parked cars, a quiet residential one."""
    highway, quiet = conditions.place == "highway", conditions.place == "residential"
    lanes = int(rng.choice([2, 3])) if highway else int(rng.choice([1, 2], p=[0.85, 0.15] if quiet else [0.6, 0.4]))
    own = int(rng.integers(lanes))
    marked = highway or bool(rng.random() < (0.85 if quiet else 0.97))
    sharpest = 0.0045 if highway else 0.009
    bend = 0.0 if rng.random() < 0.35 else float(rng.choice([-1, 1]) * rng.uniform(0.0012, sharpest))
    return Road(
        lane_width=float(rng.uniform(3.5, 3.8) if highway else rng.uniform(3.1, 3.6)),
        lanes=lanes,
        own=own,
        oncoming=0 if highway else int(rng.choice([1, 2], p=[0.8, 0.2])),
        marked=marked,
        yellow=bool(rng.random() < 0.75),
        parking_left=0.6 if highway else float(rng.choice([0.3, 2.3])),
        parking_right=2.4 if highway else float(rng.choice([0.3, 2.3], p=[0.4, 0.6])),
        walk=0.0 if highway else float(rng.uniform(1.8, 3.4)),
        curvature=bend,
        heading=float(rng.normal(0, 0.02)) - bend * 6,
        shift=float(rng.normal(0, 0.22)),
        crossing=None if highway else _sample_crossing(rng),
    )


def _sample_crossing(rng: np.random.Generator) -> Crossing | None:
    if rng.random() < 0.5:
        return None
    near = float(rng.uniform(18, 48))
    return Crossing(near, near + float(rng.uniform(8, 14)), bool(rng.random() < 0.7))


def edge_curves(road: Road, view: View, offset: float, near_row: float, far: float) -> list[list[Point]] | None:
    """Return two cubic Beziers [(u, v) × 4] one after the other, along an edge of the road and away from the camera.

    The edge is `offset` metres from the own lane's middle; it runs from pixel row `near_row`, or from where it enters
    the picture, to depth `far` metres. None where it is outside. An edge of a bent road is a smooth function of its
    row, so that a cubic through four of its points runs within a pixel of it.
    """
    rows = np.linspace(near_row, view.row_of_depth(far), 200)
    inside = np.flatnonzero(_inside(_edge(road, view, offset, rows)))
    if len(inside) < 20:
        return None
    edge = _edge(road, view, offset, np.linspace(rows[inside[0]], rows[inside[-1]], 7))
    edge[:, 0] = np.clip(edge[:, 0], 0, WIDTH)
    return [_cubic_through(edge[0:4]), _cubic_through(edge[3:7])]


def _edge(road: Road, view: View, offset: float, rows: Floats) -> Floats:
    depths = view.focal * view.height / (rows - view.horizon)
    x = road.middle(depths) + offset
    return view.project(np.stack([x, np.zeros_like(x), depths], axis=1))


def _inside(edge: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return (edge[:, 0] >= 0) & (edge[:, 0] <= WIDTH)


def _cubic_through(points: Floats) -> list[Point]:
    """Return the four Bezier points of the cubic that is at `points` [4, 2] at t = 0, 1/3, 2/3, 1."""
    a, b, c, d = points
    first = (-5 * a + 18 * b - 9 * c + 2 * d) / 6
    second = (2 * a - 9 * b + 18 * c - 5 * d) / 6
    return [(float(u), float(v)) for u, v in (a, first, second, d)]
