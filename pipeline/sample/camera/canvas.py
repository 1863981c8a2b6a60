"""The picture while it is painted, with the instance that owns each pixel, far things first.

Shapes of things are not known here; a thing says where it stands (`stand`) and fills, strokes and glows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from pipeline.sample.arrays import Bytes, Colour, Floats
from pipeline.sample.camera.light import Light
from pipeline.sample.camera.view import HEIGHT, WIDTH, Pose, View

SUBPIXEL_BITS = 4
FAR_OUTSIDE = 6000.0
NOBODY = 0
"""Owner of sky and ground."""

UNLABELLED = 255
"""Owner of what stands in the way and has no label."""


@dataclass
class Instance:
    """A thing with a label: which pixels it owned (`area`) when it was painted, before nearer things came."""

    number: int
    category: str
    attributes: dict[str, Any]
    area: int = 0


@dataclass(frozen=True)
class Glow:
    """A shining lamp: position and radius in pixels, light added at its heart, and the owner it must not outlive."""

    u: float
    v: float
    radius: float
    colour: Colour
    owner: int


@dataclass
class Canvas:
    """The picture [720, 1280, 3] uint8 (blue, green, red) and the owner of each pixel [720, 1280] uint8."""

    view: View
    light: Light
    rng: np.random.Generator
    picture: Bytes = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    owners: Bytes = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH), np.uint8))
    instances: list[Instance] = field(default_factory=list)
    glows: list[Glow] = field(default_factory=list)
    owner: int = NOBODY

    def __post_init__(self) -> None:
        self._gain: Floats = np.ones(3)
        self._haze: Floats = np.zeros(3)

    def stand(self, x: float, z: float) -> None:
        """From here on, colours are lit and hazed as at (x, z) metres."""
        clear = float(self.light.clearness(z))
        self._gain = self.light.gain(x, z) * clear
        self._haze = np.asarray(self.light.haze) * (1.0 - clear)

    @contextmanager
    def instance(self, category: str, **attributes: Any) -> Iterator[Instance]:
        """Give all pixels that are filled in the block to a new instance."""
        made = Instance(len(self.instances) + 1, category, attributes)
        self.instances.append(made)
        before, self.owner = self.owner, made.number
        yield made
        self.owner = before
        made.area = int(np.count_nonzero(self.owners == made.number))

    def lit(self, colour: Colour, gain: float = 1.0) -> tuple[float, ...]:
        """Return `colour` as it looks where the thing stands."""
        seen = np.asarray(colour) * self._gain * gain + self._haze
        return tuple(min(max(level, 0.0), 255.0) for level in seen.tolist())

    def fill(self, *outlines: Floats, colour: Colour, gain: float = 1.0) -> None:
        """Fill polygons [N, 2] (u, v), which don't overlap one another, and own their pixels."""
        import cv2

        points = [_fixed_point(outline) for outline in outlines]
        cv2.fillPoly(self.picture, points, self.lit(colour, gain), cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.fillPoly(self.owners, points, (self.owner,), cv2.LINE_8, SUBPIXEL_BITS)

    def own(self, *outlines: Floats) -> None:
        """Own the pixels of polygons [N, 2] without painting them: a wheel with air between its spokes."""
        import cv2

        for outline in outlines:
            cv2.fillPoly(self.owners, [_fixed_point(outline)], (self.owner,), cv2.LINE_8, SUBPIXEL_BITS)

    def stroke(self, start: Sequence[float], end: Sequence[float], width: float, colour: Colour) -> None:
        """Fill a straight bar `width` pixels wide (at least 1) from `start` to `end` (u, v)."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        across = np.array([a[1] - b[1], b[0] - a[0]])
        across *= max(width, 1.0) / 2 / max(float(np.hypot(*across)), 1e-6)
        self.fill(np.stack([a + across, b + across, b - across, a - across]), colour=colour)

    def line(self, points: Floats, width: float, colour: Colour) -> None:
        """Draw a closed thin line along [N, 2] points, at least 1 pixel wide."""
        import cv2

        fixed = [_fixed_point(points)]
        thickness = max(round(width), 1)
        cv2.polylines(self.picture, fixed, True, self.lit(colour), thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.polylines(self.owners, fixed, True, (self.owner,), thickness, cv2.LINE_8, SUBPIXEL_BITS)

    def disc(self, centre: Sequence[float], radius: float, colour: Colour, gain: float = 1.0) -> None:
        """Fill a circle of `radius` pixels around `centre` (u, v)."""
        self.fill(ellipse(centre, radius, radius), colour=colour, gain=gain)

    def shade_street(self, pose: Pose, length: float, width: float, strength: float) -> None:
        """Darken the street under a thing of `length` × `width` metres, softly."""
        import cv2

        round_the_clock = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        ring = np.stack(
            [np.cos(round_the_clock) * length * 0.56, 0 * round_the_clock, np.sin(round_the_clock) * width * 0.62], 1
        )
        ring[:, 0] = np.clip(ring[:, 0], -length * 0.52, length * 0.52)
        outline = self.view.project(pose.place(ring * 1.08))
        low = np.floor(np.clip(outline.min(0) - 6, 0, [WIDTH, HEIGHT])).astype(int)
        high = np.ceil(np.clip(outline.max(0) + 6, 0, [WIDTH, HEIGHT])).astype(int)
        if (high - low).min() < 2:
            return
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(mask, [_fixed_point(outline - low)], (255.0 * strength,), cv2.LINE_AA, SUBPIXEL_BITS)
        mask = cv2.blur(mask, (7, 5))
        part = self.picture[low[1] : high[1], low[0] : high[0]]
        cv2.multiply(part, cv2.cvtColor(255 - mask, cv2.COLOR_GRAY2BGR), part, 1 / 255)

    def glow(self, u: float, v: float, radius: float, colour: Colour) -> None:
        """Let a lamp of the current owner shine at (u, v), if nothing nearer hides it in the end."""
        if 0 <= u < WIDTH and 0 <= v < HEIGHT:
            self.glows.append(Glow(u, v, radius, colour, self.owner))


def ellipse(centre: Sequence[float], across: float, down: float, corners: int = 18) -> Floats:
    """Return the outline [corners, 2] of an upright ellipse with half axes in pixels."""
    return unit_circle(corners) * (across, down) + (centre[0], centre[1])


@cache
def unit_circle(corners: int) -> Floats:
    """Return [corners, 2] points around the circle of radius 1."""
    angles = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _fixed_point(points: Floats) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.rint(np.minimum(np.maximum(points, -FAR_OUTSIDE), FAR_OUTSIDE) * (1 << SUBPIXEL_BITS)).astype(np.int32)
