"""What stands along the road and has no label: buildings, trees, lamp posts, cables, barriers.

They hide things that stand behind them.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, Floats, drawn_colour
from pipeline.sample.camera.canvas import Canvas, ellipse

BLOBS = 34


@dataclass(frozen=True)
class Building:
    """A house front along the road from depth `near` to `far`, at x `near_x` and `far_x` metres, `tall` metres."""

    near: float
    far: float
    near_x: float
    far_x: float
    tall: float
    colour: Colour
    shop: bool
    gable: bool

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near: houses stand outside of all else."""
        return math.hypot(self.far_x, self.far)


@dataclass(frozen=True)
class Tree:
    """A tree at (x, z) metres, `tall` metres, its leaves of one colour (bare where there is none)."""

    x: float
    z: float
    tall: float
    leaves: Colour

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return math.hypot(self.x, self.z)


@dataclass(frozen=True)
class Lamp:
    """A lamp post or a wooden pole for cables at (x, z) metres; `arm` metres reach over the road, 0 for a pole."""

    x: float
    z: float
    tall: float
    arm: float

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return math.hypot(self.x, self.z)


@dataclass(frozen=True)
class Barrier:
    """A piece of concrete barrier along the road."""

    near: float
    far: float
    near_x: float
    far_x: float

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return math.hypot(self.near_x, self.near)


def paint_building(canvas: Canvas, house: Building) -> None:
    """Paint the front along the road, the end wall that faces the camera, and windows, some lit at night."""
    canvas.stand((house.near_x + house.far_x) / 2, (house.near * 2 + house.far) / 3)
    outwards = float(np.sign(house.near_x))
    sunny = canvas.light.sun_side * outwards < 0
    bare = canvas.view.project

    end = [[house.near_x, 0, house.near], [house.near_x + outwards * 14, 0, house.near],
           [house.near_x + outwards * 14, house.tall, house.near], [house.near_x, house.tall, house.near]]  # fmt: skip
    if house.gable:
        end.insert(3, [house.near_x + outwards * 7, house.tall + 2.6, house.near])
    canvas.fill(bare(np.array(end)), colour=house.colour, gain=0.8)
    canvas.fill(_front(canvas, house, 0, 1, 0, house.tall), colour=house.colour, gain=1.0 if sunny else 0.66)
    _paint_windows(canvas, house)
    canvas.fill(_front(canvas, house, 0, 1, house.tall - 0.35, house.tall), colour=house.colour, gain=0.5)
    if house.shop:
        canvas.fill(_front(canvas, house, 0.04, 0.96, 0.3, 2.9), colour=(70, 62, 58))
        awning = drawn_colour(canvas.rng.uniform(40, 200, 3))
        canvas.fill(_front(canvas, house, 0.03, 0.97, 2.8, 3.7), colour=awning)


def _front(canvas: Canvas, house: Building, start: float, end: float, low: float, high: float) -> Floats:
    """Return the outline of a rectangle on the front: shares of its length from near to far, metres up."""
    points = []
    for share, up in ((start, low), (end, low), (end, high), (start, high)):
        x = house.near_x * (1 - share) + house.far_x * share
        points.append([x, up, house.near * (1 - share) + house.far * share])
    return canvas.view.project(np.array(points))


def _paint_windows(canvas: Canvas, house: Building) -> None:
    rng = canvas.rng
    bays = max(int((house.far - house.near) / rng.uniform(2.2, 3.5)), 1)
    floors = range(1 if house.shop else 0, max(int(house.tall / 3.1), 1))
    wide, high = rng.uniform(0.4, 0.65), rng.uniform(1.2, 1.8)
    dark: list[Floats] = []
    lit: list[Floats] = []
    for floor in floors:
        for bay in range(bays):
            start = (bay + 0.5 - wide / 2) / bays
            pane = _front(canvas, house, start, start + wide / bays, floor * 3.1 + 0.9, floor * 3.1 + 0.9 + high)
            (lit if canvas.light.lamps_on and rng.random() < 0.25 else dark).append(pane)
    if dark:
        canvas.fill(*dark, colour=(95, 82, 70), gain=0.8)
    if lit:
        canvas.fill(*lit, colour=(110, 190, 235), gain=2.2)


def paint_tree(canvas: Canvas, tree: Tree) -> None:
    """Paint a trunk and a crown of overlapping blobs, darker below."""
    canvas.stand(tree.x, tree.z)
    pixel = canvas.view.pixels(1.0, tree.z)
    foot, top = canvas.view.point(tree.x, 0, tree.z), canvas.view.point(tree.x, tree.tall * 0.6, tree.z)
    canvas.stroke(foot, top, 0.05 * tree.tall * pixel, (55, 65, 78))
    u, v = canvas.view.point(tree.x, tree.tall * 0.68, tree.z)
    spread = tree.tall * pixel * 0.3
    blobs = BLOBS if spread > 25 else BLOBS // 2
    draws = canvas.rng.uniform(0, 1, (blobs, 4))
    angles, reaches = draws[:, 0] * 2 * np.pi, np.sqrt(draws[:, 1]) * spread
    across, down = np.cos(angles) * reaches, np.sin(angles) * reaches * 0.9
    radii = spread * (0.14 + 0.2 * draws[:, 2]) * (1.0 if blobs == BLOBS else 1.3)
    lifts = (0.62 + 0.45 * np.arange(blobs) / blobs - 0.22 * down / spread) * (0.85 + 0.25 * draws[:, 3])
    for right, low, radius, lift in zip(across, down, radii, lifts, strict=True):
        canvas.fill(ellipse((u + right, v + low), radius, radius * 0.85, 10), colour=tree.leaves, gain=float(lift))


def paint_lamp(canvas: Canvas, lamp: Lamp) -> None:
    """Paint a post; a street lamp shines at night."""
    canvas.stand(lamp.x * 0.5, lamp.z)
    view = canvas.view
    top = view.point(lamp.x, lamp.tall, lamp.z)
    wooden = lamp.arm == 0
    width = view.pixels(0.26 if wooden else 0.16, lamp.z)
    colour: Colour = (58, 72, 88) if wooden else (112, 110, 106)
    canvas.stroke(view.point(lamp.x, 0, lamp.z), top, width, colour)
    if wooden:
        beam = lamp.tall - 0.6
        left, right = view.point(lamp.x - 1.1, beam, lamp.z), view.point(lamp.x + 1.1, beam, lamp.z)
        canvas.stroke(left, right, width * 0.6, colour)
        return
    end = view.point(lamp.x + lamp.arm, lamp.tall + 0.3, lamp.z)
    canvas.stroke(top, end, width * 0.6, colour)
    canvas.fill(ellipse(end, width * 2.2 + 1, width * 0.7 + 1), colour=colour)
    if canvas.light.lamps_on:
        canvas.glow(*end, max(view.pixels(1.5, lamp.z), 8), (120, 190, 245))


def paint_barrier(canvas: Canvas, wall: Barrier) -> None:
    """Paint a piece of barrier, 0.85 m high."""
    canvas.stand(wall.near_x, (wall.near + wall.far) / 2)
    quad = np.array([[wall.near_x, 0, wall.near], [wall.far_x, 0, wall.far], [wall.far_x, 0.85, wall.far],
                     [wall.near_x, 0.85, wall.near]])  # fmt: skip
    canvas.fill(canvas.view.project(quad), colour=(165, 168, 170), gain=0.85)
    rim = quad.copy()
    rim[:2, 1] = 0.74
    canvas.fill(canvas.view.project(rim), colour=(185, 188, 190), gain=1.05)


@dataclass(frozen=True)
class Gantry:
    """A beam over the road at depth `z` from x `left` to `right`, `up` metres high, that carries boards."""

    left: float
    right: float
    z: float
    up: float

    @property
    def depth(self) -> float:
        """Metres by which things are sorted, just behind its boards."""
        return math.hypot(max(-self.left, self.right), self.z) + 0.1


def paint_gantry(canvas: Canvas, gantry: Gantry) -> None:
    """Paint two posts and the beam between them."""
    canvas.stand(0.0, gantry.z)
    view, width = canvas.view, canvas.view.pixels(0.35, gantry.z)
    left, right = view.point(gantry.left, gantry.up, gantry.z), view.point(gantry.right, gantry.up, gantry.z)
    for x, top in ((gantry.left, left), (gantry.right, right)):
        canvas.stroke(view.point(x, 0, gantry.z), top, width, (120, 118, 115))
    canvas.stroke(left, right, width, (128, 126, 122))
