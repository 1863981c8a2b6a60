"""Who is on the street and where: cars in lanes, parked and crossing, bikes, people.

How they look is painted elsewhere; every draw comes from the scene's own generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, dimmed
from pipeline.sample.camera.light import Conditions
from pipeline.sample.camera.view import WIDTH, Pose, View
from pipeline.sample.street.road import Road
from pipeline.sample.things.bikes import Bike
from pipeline.sample.things.people import Person, sample_clothes
from pipeline.sample.things.vehicles import Vehicle

PAINTS: tuple[Colour, ...] = (
    (225, 226, 226), (168, 166, 164), (110, 108, 106), (42, 40, 40), (40, 34, 150), (145, 75, 35), (62, 85, 38),
    (150, 178, 190), (35, 165, 225), (90, 40, 45), (175, 130, 70), (60, 100, 150),
)  # fmt: skip
PAINT_SHARES = (0.22, 0.17, 0.13, 0.16, 0.09, 0.08, 0.03, 0.04, 0.02, 0.02, 0.02, 0.02)
KIND_SHARES = {"sedan": 0.37, "hatchback": 0.18, "suv": 0.24, "pickup": 0.07, "van": 0.07, "truck": 0.04, "bus": 0.03}
LEAST_CAR_PIXELS = 28
IN_THE_WAY = 0.55
BIKE_COLOURS: tuple[Colour, ...] = (
    (40, 40, 190), (170, 90, 30), (45, 45, 45), (210, 210, 210), (60, 140, 60), (30, 150, 220),
)  # fmt: skip


@dataclass(frozen=True)
class Spot:
    """A place where a vehicle may be: `flow` is "own", "along", "oncoming", "parked" or "crossing"."""

    pose: Pose
    flow: str


def sample_vehicles(road: Road, view: View, conditions: Conditions, rng: np.random.Generator) -> list[Vehicle]:
    """Draw a few vehicles from all places where one may be, near ones rather than far ones."""
    spots = [spot for spot in _spots(road, rng) if _is_seen(view, spot.pose, 1.5, LEAST_CAR_PIXELS)]
    wanted = int(rng.integers(3, 7) if conditions.place == "highway" else rng.integers(3, 8))
    nearness = np.array([1 / spot.pose.z for spot in spots])
    count = min(wanted, len(spots))
    if not count:
        return []
    vehicles: list[Vehicle] = []
    for index in rng.choice(len(spots), count, replace=False, p=nearness / nearness.sum()):
        vehicle = _vehicle(spots[index], conditions, rng)
        if not any(_collide(vehicle, other) for other in vehicles):
            vehicles.append(vehicle)
    return vehicles


def _spots(road: Road, rng: np.random.Generator) -> list[Spot]:
    spots = []
    for lane in range(-road.own, road.lanes - road.own):
        low, high = (8, 22) if lane == 0 else (5, 18)
        spots += _row(road, rng, road.lane_middle(lane), 0.0, "along" if lane else "own", low, high)
    for lane in range(1, road.oncoming + 1):
        spots += _row(road, rng, road.centre_line - (lane - 0.5) * road.lane_width, np.pi, "oncoming", 8, 18)
    if road.parking_right > 2 and road.walk:
        spots += _row(road, rng, road.right_curb - 1.1, 0.0, "parked", 5.4, 7)
    if road.parking_left > 2:
        spots += _row(road, rng, road.left_curb + 1.1, np.pi, "parked", 5.4, 7)
    if road.crossing:
        spots += _crossing_spots(road, rng)
    return spots


def _row(
    road: Road, rng: np.random.Generator, offset: float, yaw: float, flow: str, low: float, high: float
) -> list[Spot]:
    """Return spots one behind the other, `low` to `high` metres apart."""
    spots = []
    z = rng.uniform(9.5, 30) if flow == "own" else rng.uniform(6.0, 16)
    while z < 85:
        jitter = rng.normal(0, 0.06 if flow == "parked" else 0.15)
        if not road.in_crossing(z, 3.5 if flow == "parked" else 0):
            spots.append(Spot(Pose(road.x(offset + jitter, z), z, yaw + road.yaw(z) + rng.normal(0, 0.015)), flow))
        z += rng.uniform(low, high)
    return spots


def _crossing_spots(road: Road, rng: np.random.Generator) -> list[Spot]:
    crossing = road.crossing
    assert crossing is not None
    spots = []
    for share, yaw in ((0.3, np.pi / 2), (0.72, -np.pi / 2)):
        z = crossing.near + share * (crossing.far - crossing.near)
        x = rng.uniform(-14, -4)
        while x < 16:
            spots.append(Spot(Pose(road.x(x, z), z, yaw + rng.normal(0, 0.08)), "crossing"))
            x += rng.uniform(6, 16)
    return spots


def _is_seen(view: View, pose: Pose, tall: float, least: float) -> bool:
    u, _ = view.point(pose.x, 0.5, pose.z)
    return -60 < u < WIDTH + 60 and view.pixels(tall, pose.z) >= least


def _vehicle(spot: Spot, conditions: Conditions, rng: np.random.Generator) -> Vehicle:
    kinds = list(KIND_SHARES)
    kind = str(rng.choice(kinds, p=list(KIND_SHARES.values())))
    if kind in ("truck", "bus") and (spot.flow in ("parked", "crossing") or spot.pose.z < 14):
        kind = "suv"
    colour = dimmed(PAINTS[int(rng.choice(len(PAINTS), p=PAINT_SHARES))], rng.uniform(0.85, 1.1))
    dim = conditions.night or conditions.weather in ("rainy", "foggy") or conditions.timeofday == "dawn/dusk"
    lamps = spot.flow != "parked" and (conditions.night or (dim and rng.random() < 0.6))
    braking = spot.flow in ("own", "along") and bool(rng.random() < 0.35)
    return Vehicle(kind, spot.pose, colour, braking, bool(lamps))


def _collide(one: Vehicle, other: Vehicle) -> bool:
    """Whether two vehicles stand in one another, by circles along their lengths."""
    return any(np.hypot(a[0] - b[0], a[1] - b[1]) < 2.0 for a in _spine(one) for b in _spine(other))


def _spine(vehicle: Vehicle) -> list[tuple[float, float]]:
    pose, half = vehicle.pose, vehicle.shape.length / 2 - 0.6
    reach = [share * half for share in (-1.0, -0.33, 0.33, 1.0)]
    return [(pose.x + along * np.sin(pose.yaw), pose.z + along * np.cos(pose.yaw)) for along in reach]


def sample_bikes(
    road: Road, view: View, vehicles: Sequence[Vehicle], conditions: Conditions, rng: np.random.Generator
) -> list[Bike]:
    """Draw bikes: ridden along the road, crossing it, or parked on the sidewalk."""
    if conditions.place == "highway":
        return []
    wanted = int(rng.choice(5, p=[0.22, 0.33, 0.26, 0.14, 0.05]))
    bikes: list[Bike] = []
    for _ in range(wanted * 6):
        if len(bikes) == wanted:
            break
        pose, ridden = _bike_pose(road, rng)
        taken = [spot for vehicle in vehicles for spot in _spine(vehicle)] + [(b.pose.x, b.pose.z) for b in bikes]
        free = all(np.hypot(pose.x - x, pose.z - z) > 1.5 for x, z in taken)
        u, _ = view.point(pose.x, 0.5, pose.z)
        if free and 30 < u < WIDTH - 30:
            colour = BIKE_COLOURS[int(rng.integers(len(BIKE_COLOURS)))]
            rider = sample_clothes(rng) if ridden else None
            bikes.append(Bike(pose, colour, rider, bool(rng.random() < 0.2)))
    return bikes


def _bike_pose(road: Road, rng: np.random.Generator) -> tuple[Pose, bool]:
    z = float(5.5 * (15 / 5.5) ** rng.uniform(0, 1))
    way = rng.random()
    if way < 0.07:
        offset = road.right_lane_edge - rng.uniform(0.3, 0.8)
        return Pose(road.x(offset, z), z, road.yaw(z) + rng.normal(0, 0.4)), True
    if way < 0.1 and road.oncoming:
        offset = road.left_lane_edge + rng.uniform(0.3, 0.8)
        return Pose(road.x(offset, z), z, np.pi + road.yaw(z) + rng.normal(0, 0.4)), True
    sideways = float(rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.35))
    if way < 0.22:
        z = max(z, 8.0)
        return Pose(road.x(rng.uniform(road.left_curb, road.right_curb), z), z, sideways), True
    side = bool(rng.random() < 0.65)
    offset = road.right_curb + rng.uniform(0.3, 1.5) if side else road.left_curb - rng.uniform(0.3, 1.5)
    return Pose(road.x(offset, z), z, sideways), False


def sample_people(road: Road, view: View, conditions: Conditions, rng: np.random.Generator) -> list[Person]:
    """Draw people on the sidewalks and, sometimes, on the crosswalk."""
    if conditions.place == "highway":
        return []
    people = []
    for _ in range(int(rng.choice(5, p=[0.4, 0.25, 0.2, 0.1, 0.05]))):
        z = float(rng.uniform(7, 32))
        side = rng.random()
        if road.crossing and side < 0.3:
            z = road.crossing.near - rng.uniform(1, 3.2)
            offset = rng.uniform(road.left_curb, road.right_curb)
        elif side < 0.65:
            offset = road.right_curb + rng.uniform(0.4, max(road.walk, 1.0))
        else:
            offset = road.left_curb - rng.uniform(0.4, max(road.walk, 1.0))
        pose = Pose(road.x(offset, z), z)
        if _is_seen(view, pose, 1.7, 24):
            people.append(Person(pose, sample_clothes(rng), float(rng.uniform(1.5, 1.9))))
    return people


def free_until(
    road: Road, offset: float, far: float, vehicles: Sequence[Vehicle], bikes: Sequence[Bike], people: Sequence[Person]
) -> float:
    """Return the depth in metres at which the first thing is in the way in the lane around `offset`, at most `far`.

    Who rides along the edge of the lane is not in the way.
    """
    half = road.lane_width / 2 - 0.2
    for vehicle in vehicles:
        for x, z in _spine(vehicle):
            if abs(x - road.x(offset, z)) < half + 0.5:
                far = min(far, z - 1.2)
    for pose in [bike.pose for bike in bikes] + [person.pose for person in people]:
        if abs(pose.x - road.x(offset, pose.z)) < half * IN_THE_WAY:
            far = min(far, pose.z - 0.6)
    return far
