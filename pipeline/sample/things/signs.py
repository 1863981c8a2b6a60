"""Traffic signs of several shapes on poles and gantries, and traffic lights.

A sign's label is its board (boards on one pole are instances of their own), never the pole.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, Floats
from pipeline.sample.camera.canvas import Canvas, ellipse

WHITE: Colour = (232, 234, 234)
RED: Colour = (45, 38, 190)
YELLOW: Colour = (45, 195, 240)
ORANGE: Colour = (40, 130, 240)
BLUE: Colour = (165, 85, 30)
GREEN: Colour = (85, 115, 25)
BLACK: Colour = (35, 32, 32)
STEEL: Colour = (125, 122, 118)
LIGHTS: dict[str, Colour] = {"red": (50, 50, 255), "yellow": (40, 200, 255), "green": (150, 240, 70)}


@dataclass(frozen=True)
class Sign:
    """A board of a kind of KINDS: its middle at (x, up, z) metres, `tall` metres high, squeezed where seen aslant."""

    kind: str
    x: float
    up: float
    z: float
    tall: float
    squeeze: float
    on_gantry: bool = False

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return math.hypot(self.x, self.z)


@dataclass(frozen=True)
class TrafficLight:
    """A traffic light at (x, up, z) metres that shows `colour`; `arm` is where its mast stands, relative to it."""

    x: float
    up: float
    z: float
    colour: str
    arm: float

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return math.hypot(self.x, self.z)


@dataclass(frozen=True)
class _Board:
    """A sign's place in the picture: `centre` (u, v), half its height in pixels, and how much it is squeezed."""

    canvas: Canvas
    centre: tuple[float, float]
    half: float
    squeeze: float

    def at(self, points: object) -> Floats:
        """Return pixels for points [N, 2] in half heights, right and up from the centre."""
        scaled = np.asarray(points, dtype=np.float64) * [self.half * self.squeeze, -self.half]
        return scaled + np.asarray(self.centre)

    def fill(self, points: object, colour: Colour) -> None:
        """Fill a polygon given in half heights."""
        self.canvas.fill(self.at(points), colour=colour)

    def text(self, words: str, height: float, middle: float, colour: Colour) -> None:
        """Write a line `height` half heights tall around `middle`; nothing where it couldn't be made out."""
        import cv2

        pixels = height * self.half
        if pixels < 5:
            return
        scale = pixels / 22
        thickness = max(round(scale * 2.4), 1)
        (width, tall), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        corner = (round(self.centre[0] - width / 2), round(self.centre[1] - middle * self.half + tall / 2))
        lit = self.canvas.lit(colour)
        cv2.putText(self.canvas.picture, words, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, lit, thickness, cv2.LINE_AA)


def _ring(corners: int, radius: float = 1.0, turn: float = 0.0) -> Floats:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radius


def _box(width: float, height: float = 1.0, x: float = 0.0, y: float = 0.0) -> Floats:
    return np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) + np.array([x, y])


def _arrow(size: float) -> Floats:
    shape = [[-0.15, -1], [0.15, -1], [0.15, 0.15], [0.5, 0.15], [0, 1], [-0.5, 0.15], [-0.15, 0.15]]
    return np.array(shape) * size


def _stop(board: _Board) -> None:
    turn = np.pi / 8
    board.fill(_ring(8, 1.08, turn), WHITE)
    board.fill(_ring(8, 0.98, turn), RED)
    board.text("STOP", 0.5, 0.0, WHITE)
    if board.half < 14:
        board.fill(_box(0.62, 0.16), WHITE)


def _yield(board: _Board) -> None:
    triangle = np.array([[-1.15, 1.0], [1.15, 1.0], [0.0, -1.0]])
    board.fill(triangle, RED)
    board.fill(triangle * 0.55 + [0, 0.15], WHITE)


def _warning(board: _Board) -> None:
    triangle = np.array([[-1.15, -1.0], [1.15, -1.0], [0.0, 1.0]])
    board.fill(triangle, RED)
    board.fill(triangle * 0.64 - [0, 0.12], WHITE)
    board.fill(_box(0.09, 0.3, 0, -0.2), BLACK)


def _diamond(board: _Board, colour: Colour = YELLOW) -> None:
    board.fill(_ring(4, 1.0), BLACK)
    board.fill(_ring(4, 0.92), colour)
    board.fill(_arrow(0.5) * [1, 1], BLACK)


def _construction(board: _Board) -> None:
    _diamond(board, ORANGE)


def _speed(board: _Board) -> None:
    board.fill(_box(0.8), BLACK)
    board.fill(_box(0.74, 0.94), WHITE)
    board.text("SPEED", 0.24, 0.62, BLACK)
    board.text(str(board.canvas.rng.choice(["25", "30", "35", "45"])), 0.6, -0.3, BLACK)


def _limit(board: _Board) -> None:
    board.fill(_ring(18), RED)
    board.fill(_ring(18, 0.74), WHITE)
    board.text(str(board.canvas.rng.choice(["30", "40", "50", "60"])), 0.55, 0.0, BLACK)


def _no_entry(board: _Board) -> None:
    board.fill(_ring(18), RED)
    board.fill(_box(0.68, 0.17), WHITE)


def _keep(board: _Board) -> None:
    board.fill(_ring(18), WHITE)
    board.fill(_ring(18, 0.92), BLUE)
    board.fill(_arrow(0.6), WHITE)


def _parking(board: _Board) -> None:
    board.fill(_box(0.9), WHITE)
    board.fill(_box(0.82, 0.92), BLUE)
    board.text("P", 1.1, 0.0, WHITE)


def _one_way(board: _Board) -> None:
    board.fill(_box(2.4), WHITE)
    board.fill(_box(2.3, 0.88), BLACK)
    arrow = _arrow(1.0)[:, ::-1] * [1.9, 0.85]
    board.fill(arrow, WHITE)


def _street_name(board: _Board) -> None:
    board.fill(_box(3.4), WHITE)
    board.fill(_box(3.3, 0.86), GREEN)
    board.text(str(board.canvas.rng.choice(["Oak St", "5th Ave", "Main St", "Elm Rd"])), 1.0, 0.0, WHITE)


def _direction(board: _Board) -> None:
    colour = GREEN if board.canvas.rng.random() < 0.7 else BLUE
    board.fill(_box(1.55), WHITE)
    board.fill(_box(1.5, 0.94), colour)
    for middle in (0.5, 0.0, -0.5):
        width = board.canvas.rng.uniform(0.5, 1.0)
        board.fill(_box(width, 0.13, width - 1.3, middle), WHITE)
    board.fill(_arrow(0.4) + np.array([1.15, 0.35]), WHITE)


KINDS: dict[str, Callable[[_Board], None]] = {
    "stop": _stop, "yield": _yield, "warning": _warning, "diamond": _diamond, "construction": _construction,
    "speed": _speed, "limit": _limit, "no entry": _no_entry, "keep": _keep, "parking": _parking,
    "one way": _one_way, "street name": _street_name, "direction": _direction,
}  # fmt: skip


def paint_sign(canvas: Canvas, sign: Sign) -> None:
    """Paint a board with its pole as a new instance of BDD's `traffic sign`."""
    canvas.stand(sign.x * 0.4, sign.z)
    view = canvas.view
    pole = max(view.pixels(0.08, sign.z), 1.0)
    if sign.on_gantry:
        for side in (-0.8, 0.8):
            x = sign.x + side * sign.tall
            canvas.stroke(view.point(x, sign.up, sign.z), view.point(x, 6.6, sign.z), pole, STEEL)
    else:
        foot = view.point(sign.x, 0.0, sign.z)
        canvas.stroke(foot, view.point(sign.x, sign.up + sign.tall * 0.4, sign.z), pole, STEEL)
    with canvas.instance("traffic sign", trafficLightColor="none"):
        centre = view.point(sign.x, sign.up, sign.z)
        KINDS[sign.kind](_Board(canvas, centre, view.pixels(sign.tall / 2, sign.z), sign.squeeze))


def paint_traffic_light(canvas: Canvas, light: TrafficLight) -> None:
    """Paint a traffic light with its mast as a new instance of BDD's `traffic light`."""
    canvas.stand(light.x * 0.4, light.z)
    view = canvas.view
    pole = max(view.pixels(0.14, light.z), 1.0)
    mast, top = light.x + light.arm, light.up + 0.5
    canvas.stroke(view.point(mast, 0, light.z), view.point(mast, top, light.z), pole, STEEL)
    canvas.stroke(view.point(mast, top - 0.1, light.z), view.point(light.x, top - 0.1, light.z), pole * 0.7, STEEL)
    u, v = view.point(light.x, light.up, light.z)
    half = view.pixels(0.5, light.z)
    with canvas.instance("traffic light", trafficLightColor=light.colour):
        case = np.array([[-0.42, -1.0], [0.42, -1.0], [0.42, 1.0], [-0.42, 1.0]]) * half + [u, v]
        canvas.fill(case, colour=(30, 55, 62))
        for place, name in ((-0.62, "red"), (0.0, "yellow"), (0.62, "green")):
            lamp = (u, v + place * half)
            on = name == light.colour
            canvas.fill(ellipse(lamp, half * 0.26, half * 0.26), colour=LIGHTS[name] if on else (35, 38, 40))
            if on:
                blue, green, red = LIGHTS[name]
                canvas.glow(*lamp, max(half * 1.5, 5), (blue * 0.7, green * 0.7, red * 0.7))
