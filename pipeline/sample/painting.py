"""Paints a scene, far things before near ones, and lets the camera look at it.

What the labels say about it is `labels.py`'s business.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.sample.arrays import Bytes
from pipeline.sample.camera import lens
from pipeline.sample.camera.canvas import UNLABELLED, Canvas
from pipeline.sample.scene import Scene
from pipeline.sample.street import roadside
from pipeline.sample.street.ground import paint_ground
from pipeline.sample.street.sky import paint_sky
from pipeline.sample.things import bikes, people, signs, vehicles

PAINTERS: dict[type, Callable[[Canvas, Any], None]] = {
    roadside.Building: roadside.paint_building,
    roadside.Tree: roadside.paint_tree,
    roadside.Lamp: roadside.paint_lamp,
    roadside.Barrier: roadside.paint_barrier,
    roadside.Gantry: roadside.paint_gantry,
    signs.Sign: signs.paint_sign,
    signs.TrafficLight: signs.paint_traffic_light,
    vehicles.Vehicle: vehicles.paint_vehicle,
    bikes.Bike: bikes.paint_bike,
    people.Person: people.paint_person,
}


def paint(scene: Scene, rng: np.random.Generator) -> tuple[Canvas, Bytes]:
    """Return the canvas, which knows who owns each pixel, and the picture [720, 1280, 3] uint8 (blue, green, red)."""
    canvas = Canvas(scene.view, scene.light, rng)
    grain = lens.grain_tile()
    paint_ground(canvas, scene.road, scene.conditions, grain)
    paint_sky(canvas, scene.conditions, grain)
    canvas.owner = UNLABELLED
    for thing in sorted(scene.things, key=lambda thing: -thing.depth):
        PAINTERS[type(thing)](canvas, thing)
    lens.shine(canvas, scene.conditions.wet)
    lens.paint_dashboard(canvas, scene.dashboard)
    lens.paint_weather(canvas, scene.conditions)
    return canvas, lens.expose(canvas.picture, scene.conditions, rng)
