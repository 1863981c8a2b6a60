"""Paint on the ground: asphalt, curbs, sidewalks, verges, lane markings, crosswalks, and how light falls on them.

Where they lie is `road.py`'s business.
"""

import numpy as np

from pipeline.sample.arrays import Bytes, Colour, Floats, dimmed, drawn_colour
from pipeline.sample.camera.canvas import FAR_OUTSIDE, Canvas
from pipeline.sample.camera.light import Conditions
from pipeline.sample.camera.view import HEIGHT, WIDTH
from pipeline.sample.street.road import Road

FARTHEST = 400.0
ROUGH_BELOW = 26
DEPTHS = np.geomspace(1.2, FARTHEST, 56)
WHITE_PAINT: Colour = (205, 210, 212)
YELLOW_PAINT: Colour = (60, 170, 215)
SNOW: Colour = (225, 222, 220)


def paint_ground(canvas: Canvas, road: Road, conditions: Conditions, grain: Bytes) -> None:
    """Paint everything below the horizon; `grain` is a noise tile [H, W] uint8 around 128."""
    import cv2

    top = max(int(canvas.view.horizon), 0)
    rng = canvas.rng
    cv2.rectangle(canvas.picture, (0, top), (WIDTH, HEIGHT), _verge(conditions, rng), cv2.FILLED)
    asphalt = _asphalt(conditions, rng)
    walk = dimmed((150.0, 155.0, 160.0), rng.uniform(0.75, 1.1))
    if road.walk:
        _strip(canvas, road, road.left_curb - road.walk, road.right_curb + road.walk, walk)
        _strip(canvas, road, road.left_curb - 0.18, road.right_curb + 0.18, (175, 178, 180))
    _strip(canvas, road, road.left_curb, road.right_curb, asphalt)
    if road.crossing:
        _paint_crossing(canvas, road, asphalt)
    _paint_wear(canvas, road, asphalt)
    _paint_markings(canvas, road, asphalt)
    _roughen(canvas, top, grain)
    _light_up(canvas, top)


def _verge(conditions: Conditions, rng: np.random.Generator) -> Colour:
    if conditions.weather == "snowy":
        return SNOW
    choices: list[Colour] = [(62, 105, 88), (58, 92, 95), (85, 115, 125), (105, 112, 118)]
    share = [0.15, 0.1, 0.15, 0.6] if conditions.place == "city street" else [0.45, 0.25, 0.2, 0.1]
    return dimmed(choices[int(rng.choice(4, p=share))], rng.uniform(0.8, 1.15))


def _asphalt(conditions: Conditions, rng: np.random.Generator) -> Colour:
    level = rng.uniform(78, 128) * (0.75 if conditions.wet else 1.0)
    return (level * rng.uniform(0.98, 1.06), level, level * rng.uniform(0.95, 1.02))


def _strip(
    canvas: Canvas, road: Road, left: float, right: float, colour: Colour, near: float = 1.2, far: float = FARTHEST
) -> None:
    """Fill the ground between two offsets and two depths, along the bend of the road."""
    depths = DEPTHS[(near < DEPTHS) & (far > DEPTHS)]
    depths = np.concatenate([[near], depths, [far]])
    middle = road.middle(depths)
    _fill_ground(
        canvas,
        np.concatenate([middle + left, (middle + right)[::-1]]),
        np.concatenate([depths, depths[::-1]]),
        colour,
    )


def _fill_ground(canvas: Canvas, x: Floats, z: Floats, colour: Colour) -> None:
    import cv2

    outline = canvas.view.project(np.stack([x, np.zeros_like(x), z], axis=1))
    fixed = np.rint(np.clip(outline, -FAR_OUTSIDE, FAR_OUTSIDE) * 16).astype(np.int32)
    cv2.fillPoly(canvas.picture, [fixed], colour, cv2.LINE_AA, 4)


def _paint_crossing(canvas: Canvas, road: Road, asphalt: Colour) -> None:
    crossing = road.crossing
    assert crossing is not None
    wide = np.array([-150.0, 150.0, 150.0, -150.0])
    middle = float(road.middle((crossing.near + crossing.far) / 2))
    depths = np.array([crossing.near, crossing.near, crossing.far, crossing.far])
    _fill_ground(canvas, middle + wide, depths, asphalt)
    if not crossing.crosswalk:
        return
    for near in (crossing.near - 3.6, crossing.far + 0.6):
        for offset in np.arange(road.left_curb + 0.4, road.right_curb - 0.4, 1.05):
            _strip(canvas, road, offset, offset + 0.55, WHITE_PAINT, near, near + 2.9)
    own_side = road.centre_line if road.oncoming else road.left_lane_edge
    _strip(canvas, road, own_side, road.right_lane_edge, WHITE_PAINT, crossing.near - 5.4, crossing.near - 4.9)


def _paint_wear(canvas: Canvas, road: Road, asphalt: Colour) -> None:
    """Paint tyre tracks, patches and cracks, which are no markings."""
    rng = canvas.rng
    tone = dimmed(asphalt, rng.uniform(0.9, 0.97))
    lanes = range(-road.own - road.oncoming, road.lanes - road.own)
    for lane in lanes:
        for side in (-0.75, 0.75):
            offset = road.lane_middle(lane) + side
            _strip(canvas, road, offset - 0.28, offset + 0.28, tone)
    for _ in range(int(rng.integers(0, 4))):
        near, offset = rng.uniform(5, 40), rng.uniform(road.left_curb, road.right_curb - 1)
        patch = dimmed(asphalt, rng.uniform(0.78, 1.12))
        _strip(canvas, road, offset, offset + rng.uniform(0.4, 1.8), patch, near, near + rng.uniform(1, 8))


def _paint_markings(canvas: Canvas, road: Road, asphalt: Colour) -> None:
    if not road.marked:
        return
    fade = canvas.rng.uniform(0.45, 1.0)
    white = _mix(asphalt, WHITE_PAINT, fade)
    yellow = _mix(asphalt, YELLOW_PAINT if road.yellow else WHITE_PAINT, max(fade, 0.6))
    if road.oncoming:
        for offset in (road.centre_line - 0.22, road.centre_line + 0.1):
            _solid(canvas, road, offset, yellow)
    else:
        _solid(canvas, road, road.centre_line + 0.1, yellow)
    for lane in range(-road.own, road.lanes - road.own - 1):
        _dashes(canvas, road, road.lane_middle(lane) + road.lane_width / 2, white)
    for lane in range(1, road.oncoming):
        _dashes(canvas, road, road.centre_line - lane * road.lane_width, white)
    if road.parking_right > 1 or not road.walk:
        _solid(canvas, road, road.right_lane_edge, white)


def _solid(canvas: Canvas, road: Road, offset: float, colour: Colour) -> None:
    if road.crossing is None:
        _strip(canvas, road, offset - 0.07, offset + 0.07, colour)
        return
    _strip(canvas, road, offset - 0.07, offset + 0.07, colour, far=road.crossing.near - 4.9)
    _strip(canvas, road, offset - 0.07, offset + 0.07, colour, near=road.crossing.far + 4.5)


def _dashes(canvas: Canvas, road: Road, offset: float, colour: Colour) -> None:
    period, length = canvas.rng.uniform(7.5, 12), canvas.rng.uniform(2.6, 3.4)
    for near in np.arange(1.3 + canvas.rng.uniform(0, period), 110, period):
        if not road.in_crossing(near, 5.5):
            _strip(canvas, road, offset - 0.07, offset + 0.07, colour, near, near + length)


def _mix(under: Colour, over: Colour, share: float) -> Colour:
    return drawn_colour(np.array(under) * (1 - share) + np.array(over) * share)


def _roughen(canvas: Canvas, top: int, grain: Bytes) -> None:
    """Lay a noise tile on the near ground in perspective: near asphalt looks rough, far asphalt smooth."""
    import cv2

    view, rng = canvas.view, canvas.rng
    top += ROUGH_BELOW
    per_metre = rng.uniform(28, 60)
    x = np.array([-3.0, 3.0, 3.0, -3.0])
    z = np.array([3.0, 3.0, 9.0, 9.0])
    on_tile = np.stack([x * per_metre + rng.uniform(0, 500), z * per_metre + rng.uniform(0, 500)], 1)
    in_picture = view.project(np.stack([x, 0 * x, z], 1)) - [0, top]
    warp = cv2.getPerspectiveTransform(in_picture.astype(np.float32), on_tile.astype(np.float32))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpPerspective(grain, warp, (WIDTH, HEIGHT - top), flags=flags, borderMode=cv2.BORDER_REFLECT)
    strength = rng.uniform(0.1, 0.28)
    laid = cv2.convertScaleAbs(laid, alpha=strength, beta=128 * (1 - strength))
    below = canvas.picture[top:]
    cv2.multiply(below, cv2.cvtColor(laid, cv2.COLOR_GRAY2BGR), below, 1 / 128)


def _light_up(canvas: Canvas, top: int) -> None:
    """Multiply the painted ground by the light that falls on each place, and add the haze before it."""
    import cv2

    view, below = canvas.view, canvas.picture[top:]
    rows = np.linspace(top, HEIGHT - 1, 60)
    columns = np.linspace(0, WIDTH - 1, 80)
    depth = view.focal * view.height / np.maximum(rows - view.horizon, 1.0)
    x = (columns[None, :] - view.centre) * depth[:, None] / view.focal
    clear = canvas.light.clearness(depth)[:, None, None]
    gain = canvas.light.gain(x, depth[:, None]) * clear
    haze = np.broadcast_to(np.asarray(canvas.light.haze) * (1 - clear), gain.shape)
    size = (WIDTH, HEIGHT - top)
    lit = cv2.resize(np.clip(gain * 128, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    added = cv2.resize(haze.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    cv2.multiply(below, lit, below, 1 / 128)
    cv2.add(below, added, below)
