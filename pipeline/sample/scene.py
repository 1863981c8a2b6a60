"""A whole scene: its light, its road, and everything on and beside it, drawn from one generator.

Nothing is painted here.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pipeline.sample.camera.lens import dashboard_row
from pipeline.sample.camera.light import Conditions, Light, sample_conditions, sample_light
from pipeline.sample.camera.view import View
from pipeline.sample.street import surroundings, traffic
from pipeline.sample.street.road import Road, sample_road
from pipeline.sample.street.roadside import Barrier, Building, Gantry, Lamp, Tree
from pipeline.sample.things.bikes import Bike
from pipeline.sample.things.people import Person
from pipeline.sample.things.signs import Sign, TrafficLight
from pipeline.sample.things.vehicles import Vehicle

Thing: TypeAlias = Building | Tree | Lamp | Barrier | Gantry | Sign | TrafficLight | Vehicle | Bike | Person
SIGHT = 55.0
LEAST_WHOLE_ROAD = 13.0


@dataclass(frozen=True)
class Area:
    """A stretch of road one may drive on: offsets `left` and `right`, up to the depth `far`, all in metres."""

    kind: str
    left: float
    right: float
    far: float


@dataclass(frozen=True)
class Scene:
    """What is where; `things` stand in any order, `dashboard` is the pixel row where the own bonnet begins."""

    conditions: Conditions
    view: View
    light: Light
    road: Road
    things: tuple[Thing, ...]
    areas: tuple[Area, ...]
    dashboard: float


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene."""
    conditions = sample_conditions(rng)
    view = View(
        focal=float(rng.uniform(880, 1120)),
        centre=float(640 + rng.normal(0, 18)),
        horizon=float(rng.uniform(290, 385)),
        height=float(rng.uniform(1.2, 1.55)),
    )
    road = sample_road(conditions, rng)
    vehicles = traffic.sample_vehicles(road, view, conditions, rng)
    bikes = traffic.sample_bikes(road, view, vehicles, conditions, rng)
    people = traffic.sample_people(road, view, conditions, rng)
    things: list[Thing] = [*vehicles, *bikes, *people]
    things += surroundings.sample_houses(road, conditions, rng)
    things += surroundings.sample_trees(road, conditions, rng)
    things += surroundings.sample_posts(road, conditions, rng)
    things += surroundings.sample_barriers(road, conditions)
    things += surroundings.sample_signs(road, view, conditions, rng)
    things += surroundings.sample_traffic_lights(road, rng)
    areas = _areas(road, vehicles, bikes, people)
    return Scene(conditions, view, sample_light(conditions, rng), road, tuple(things), areas, dashboard_row(rng))


def _areas(road: Road, vehicles: list[Vehicle], bikes: list[Bike], people: list[Person]) -> tuple[Area, ...]:
    """Return the own lane (all of an unmarked road that is free), and the lanes beside it in the same direction."""
    sight = min(SIGHT, road.crossing.near - 5.6) if road.crossing else SIGHT

    def end(offset: float) -> float:
        return traffic.free_until(road, offset, sight, vehicles, bikes, people)

    half = road.lane_width / 2
    if not road.marked:
        lanes = [road.lane_middle(lane) for lane in range(-road.own - road.oncoming, road.lanes - road.own)]
        far = min(end(lane) for lane in lanes)
        if far > LEAST_WHOLE_ROAD:
            return (Area("direct", road.left_lane_edge, road.right_lane_edge, far),)
    areas = [Area("direct", -half, half, end(0.0))]
    for lane in (-1, 1):
        if -road.own <= lane < road.lanes - road.own:
            middle = road.lane_middle(lane)
            areas.append(Area("alternative", middle - half, middle + half, end(middle)))
    return tuple(areas)
