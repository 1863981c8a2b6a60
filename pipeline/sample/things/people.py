"""People on foot, as flat figures that face the camera; riders are painted with their bikes."""

from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, drawn_colour
from pipeline.sample.camera.canvas import Canvas, ellipse
from pipeline.sample.camera.view import Pose

SKIN: Colour = (125, 155, 200)


@dataclass(frozen=True)
class Clothes:
    """What someone wears, and where in a stride (0 to 1) they are."""

    torso: Colour
    legs: Colour
    head: Colour
    short: bool
    stride: float


@dataclass(frozen=True)
class Person:
    """Someone who stands or walks at a pose; `tall` in metres."""

    pose: Pose
    clothes: Clothes
    tall: float

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return self.pose.distance


def sample_clothes(rng: np.random.Generator) -> Clothes:
    """Draw clothes of any colour, mostly muted."""
    bright = rng.random() < 0.35

    def colour(low: float, high: float) -> Colour:
        base = rng.uniform(low, high)
        tint = rng.uniform(0.3, 1.6, 3) if bright else rng.uniform(0.85, 1.15, 3)
        return drawn_colour(base * tint)

    return Clothes(colour(40, 190), colour(35, 110), colour(25, 90), bool(rng.random() < 0.4), float(rng.uniform(0, 2)))


def paint_person(canvas: Canvas, person: Person) -> None:
    """Paint a person as a new instance of BDD's `person`."""
    pose, clothes = person.pose, person.clothes
    canvas.shade_street(pose, 0.5, 0.6, 0.35)
    canvas.stand(pose.x, pose.z)
    u, foot = canvas.view.point(pose.x, 0.0, pose.z)
    unit = canvas.view.pixels(person.tall, pose.z)
    swing = 0.11 * np.sin(clothes.stride * np.pi)

    def at(x: float, y: float) -> tuple[float, float]:
        return u + x * unit, foot - y * unit

    with canvas.instance("person", trafficLightColor="none"):
        for side in (-1.0, 1.0):
            canvas.stroke(at(0.04 * side, 0.5), at(swing * side + 0.03 * side, 0.02), unit * 0.085, clothes.legs)
            canvas.disc(at(swing * side + 0.045 * side, 0.02), max(unit * 0.03, 1.0), (35, 35, 35))
        arm = SKIN if clothes.short else clothes.torso
        for side in (-1.0, 1.0):
            canvas.stroke(at(0.115 * side, 0.78), at(0.14 * side - swing * side, 0.47), unit * 0.055, arm)
        chest = [at(-0.13, 0.82), at(0.13, 0.82), at(0.11, 0.6), at(0.1, 0.47), at(-0.1, 0.47), at(-0.11, 0.6)]
        canvas.fill(np.array(chest), colour=clothes.torso)
        canvas.fill(ellipse(at(0, 0.91), unit * 0.055, unit * 0.075), colour=SKIN)
        canvas.fill(ellipse(at(0, 0.945), unit * 0.06, unit * 0.05), colour=clothes.head)
