"""What lines the street and where: houses, trees, posts, signs, traffic lights, barriers.

How they look is painted elsewhere.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from pipeline.sample.arrays import Colour, dimmed
from pipeline.sample.camera.light import Conditions
from pipeline.sample.camera.view import WIDTH, View
from pipeline.sample.street.road import Road
from pipeline.sample.street.roadside import Barrier, Building, Gantry, Lamp, Tree
from pipeline.sample.things.signs import Sign, TrafficLight

WALLS: tuple[Colour, ...] = (
    (95, 110, 150), (150, 160, 172), (110, 115, 120), (130, 150, 165), (85, 90, 105), (165, 172, 178), (120, 130, 140),
    (100, 130, 160),
)  # fmt: skip
LEAVES: tuple[Colour, ...] = ((48, 95, 62), (55, 110, 80), (45, 85, 85), (50, 80, 58), (60, 105, 120))
SIGN_SHARES = {
    "stop": 0.14, "yield": 0.07, "warning": 0.08, "diamond": 0.12, "construction": 0.05, "speed": 0.12, "limit": 0.1,
    "no entry": 0.07, "keep": 0.06, "parking": 0.08, "one way": 0.05, "street name": 0.06,
}  # fmt: skip
SMALLEST_SIGN, LARGEST_SIGN = 32.0, 120.0


def sample_houses(road: Road, conditions: Conditions, rng: np.random.Generator) -> list[Building]:
    """Draw a closed front of houses in a city, single houses with gables elsewhere, none at a highway."""
    if conditions.place == "highway":
        return []
    city = conditions.place == "city street"
    houses = []
    for side in (-1.0, 1.0):
        setback = road.walk + (rng.uniform(0.5, 3) if city else rng.uniform(4, 8))
        z = rng.uniform(1.5, 8)
        while z < 150:
            length = rng.uniform(8, 18) if city else rng.uniform(8, 12)
            if not (road.in_crossing(z, 2) or road.in_crossing(z + length, 2)):
                houses.append(_house(road, side, setback + rng.uniform(0, 0.8), z, length, city, rng))
            z += length + (0.0 if city and rng.random() < 0.8 else rng.uniform(3, 9))
    return houses


def _house(
    road: Road, side: float, setback: float, z: float, length: float, city: bool, rng: np.random.Generator
) -> Building:
    curb = road.right_curb if side > 0 else road.left_curb
    offset = curb + side * setback
    wall = dimmed(WALLS[int(rng.integers(len(WALLS)))], rng.uniform(0.7, 1.15))
    return Building(
        near=z,
        far=z + length,
        near_x=road.x(offset, z),
        far_x=road.x(offset, z + length),
        tall=float(rng.uniform(7, 22) if city else rng.uniform(3.6, 6.5)),
        colour=wall,
        shop=bool(city and rng.random() < 0.5),
        gable=not city,
    )


def sample_trees(road: Road, conditions: Conditions, rng: np.random.Generator) -> list[Tree]:
    """Draw trees along both sides, more of them away from the city."""
    chance = {"city street": 0.25, "residential": 0.6, "highway": 0.7}[conditions.place]
    leaves = LEAVES[int(rng.integers(len(LEAVES)))]
    trees = []
    for side in (-1.0, 1.0):
        curb = road.right_curb if side > 0 else road.left_curb
        for z in np.arange(rng.uniform(8, 16), 120, rng.uniform(7, 13)):
            if rng.random() < chance and not road.in_crossing(float(z), 2):
                away = (road.walk or 6) + rng.uniform(0.3, 2.0 if road.walk else 14)
                colour = dimmed(leaves, rng.uniform(0.8, 1.2))
                x = road.x(curb + side * away, float(z))
                trees.append(Tree(x, float(z), float(rng.uniform(4.5, 9)), colour))
    return trees


def sample_posts(road: Road, conditions: Conditions, rng: np.random.Generator) -> list[Lamp]:
    """Draw street lamps, or wooden poles in quiet streets, on one side or both."""
    if rng.random() < 0.2:
        return []
    wooden = conditions.place == "residential"
    posts = []
    tall, apart, first = rng.uniform(6.5, 9), rng.uniform(18, 32), rng.uniform(9, 22)
    for side in (-1.0, 1.0) if rng.random() < 0.5 else (1.0,):
        curb = road.right_curb if side > 0 else road.left_curb
        for z in np.arange(first, 110, apart):
            arm = 0.0 if wooden else -side * 1.8
            posts.append(Lamp(road.x(curb + side * 0.6, float(z)), float(z), float(tall), arm))
    return posts


def sample_barriers(road: Road, conditions: Conditions) -> list[Barrier]:
    """Return the pieces of the barrier left of a highway."""
    if conditions.place != "highway":
        return []
    depths = np.geomspace(1.5, 150, 24)
    offset = road.left_curb - 0.4
    ends = itertools.pairwise(depths.tolist())
    return [Barrier(near, far, road.x(offset, near), road.x(offset, far)) for near, far in ends]


def sample_signs(road: Road, view: View, conditions: Conditions, rng: np.random.Generator) -> list[Sign | Gantry]:
    """Draw signs beside the road, large enough to be made out, and boards over a highway."""
    things: list[Sign | Gantry] = []
    if conditions.place == "highway" and rng.random() < 0.75:
        things += _gantry(road, rng)
    wanted = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.38, 0.27, 0.1]))
    for _ in range(wanted):
        sign = _sign(road, view, rng)
        if sign is None:
            continue
        things.append(sign)
        if rng.random() < 0.16:
            up = sign.up - sign.tall * 0.5 - 0.32
            things.append(Sign("speed", sign.x, up - 0.04, sign.z, 0.6, sign.squeeze))
    return things


def _sign(road: Road, view: View, rng: np.random.Generator) -> Sign | None:
    for _ in range(8):
        kind = str(rng.choice(list(SIGN_SHARES), p=list(SIGN_SHARES.values())))
        tall = float(rng.uniform(0.65, 0.95))
        if kind in ("one way", "street name"):
            tall *= 0.62 if kind == "one way" else 0.5
        wanted = SMALLEST_SIGN * (LARGEST_SIGN / SMALLEST_SIGN) ** rng.uniform(0, 1) ** 1.15
        z = view.focal * tall / wanted
        right = rng.random() < 0.7
        offset = road.right_curb + rng.uniform(0.4, 1.3) if right else road.left_curb - rng.uniform(0.4, 1.3)
        x, up = road.x(offset, z), float(rng.uniform(2.0, 2.9))
        u, v = view.point(x, up, z)
        if 5.5 < z < 48 and 40 < u < WIDTH - 40 and v > 30:
            return Sign(kind, x, up, z, tall, float(rng.uniform(0.72, 1.0)))
    return None


def _gantry(road: Road, rng: np.random.Generator) -> Iterator[Sign | Gantry]:
    z = float(rng.uniform(20, 48))
    left, right = road.x(road.left_curb - 0.6, z), road.x(road.right_curb + 1.0, z)
    yield Gantry(left, right, z, 6.4)
    for lane in range(-road.own, road.lanes - road.own):
        if rng.random() < 0.6:
            yield Sign("direction", road.x(road.lane_middle(lane), z), 5.6, z, float(rng.uniform(1.7, 2.1)), 0.85, True)


def sample_traffic_lights(road: Road, rng: np.random.Generator) -> list[TrafficLight]:
    """Draw the lights of a crossing, all of one colour."""
    if road.crossing is None or rng.random() < 0.35:
        return []
    colour = str(rng.choice(["red", "yellow", "green"], p=[0.45, 0.1, 0.45]))
    z = road.crossing.far + 1.0
    lights = []
    for offset, arm in ((road.right_curb - 0.8, 1.6), (0.0, road.right_curb + 0.8), (road.left_curb + 0.6, -1.4)):
        if rng.random() < 0.7:
            lights.append(TrafficLight(road.x(offset, z), 4.6 if arm > 2 else 3.4, z, colour, arm))
    return lights
