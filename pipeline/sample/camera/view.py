"""Where a point of the street lands in the picture: a pinhole camera on a flat street.

Street coordinates are metres: x to the right, y up, z ahead of the camera. What a point looks like is not decided here.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Floats

WIDTH, HEIGHT = 1280, 720
NEAREST = 0.6


@dataclass(frozen=True)
class View:
    """A dashcam: `focal`, `centre` and `horizon` in pixels, `height` above the street in metres."""

    focal: float
    centre: float
    horizon: float
    height: float

    def project(self, points: Floats) -> Floats:
        """Return [N, 2] (u, v) in pixels for [N, 3] (x, y, z) in metres; points behind the lens are moved before it."""
        depth = np.maximum(points[:, 2], NEAREST)
        seen = np.empty((len(points), 2))
        seen[:, 0] = self.centre + points[:, 0] * self.focal / depth
        seen[:, 1] = self.horizon + (self.height - points[:, 1]) * self.focal / depth
        return seen

    def point(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Return (u, v) in pixels for one point in metres."""
        scale = self.focal / max(z, NEAREST)
        return self.centre + x * scale, self.horizon + (self.height - y) * scale

    def pixels(self, metres: float, z: float) -> float:
        """Return how many pixels a length across the line of sight covers at depth `z`."""
        return metres * self.focal / max(z, NEAREST)

    def row_of_depth(self, z: float) -> float:
        """Return the pixel row in which the street at depth `z` is seen."""
        return self.horizon + self.focal * self.height / z


@dataclass(frozen=True)
class Pose:
    """Where a thing stands: `x`, `z` in metres, `yaw` in radians (0 heads away from the camera, π towards it)."""

    x: float
    z: float
    yaw: float = 0.0

    @property
    def distance(self) -> float:
        """Metres from the camera: of two things side by side, the one nearer to the line of sight hides the other."""
        return math.hypot(self.x, self.z)

    def place(self, points: Floats) -> Floats:
        """Return street points [N, 3] for points [N, 3] given as (along the heading, up, to its right) in metres."""
        sine, cosine = np.sin(self.yaw), np.cos(self.yaw)
        along, up, right = points[:, 0], points[:, 1], points[:, 2]
        return np.stack([self.x + along * sine + right * cosine, up, self.z + along * cosine - right * sine], axis=1)
