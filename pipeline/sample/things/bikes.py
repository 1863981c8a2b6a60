"""Bicycles and those who ride them: wheels, frame, handlebars, and limbs as bars between joints.

A bike's mask is its wheels filled, as annotators draw it; its rider is a thing of its own.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, Floats
from pipeline.sample.camera.canvas import Canvas, ellipse
from pipeline.sample.camera.view import Pose
from pipeline.sample.things.people import SKIN, Clothes

WHEEL = 0.345
AXLES = (-0.52, 0.54)
JOINTS = {
    "rear axle": (-0.52, 0.345, 0.0),
    "front axle": (0.54, 0.345, 0.0),
    "pedals": (-0.06, 0.29, 0.0),
    "seat": (-0.22, 0.94, 0.0),
    "seat clamp": (-0.19, 0.82, 0.0),
    "head": (0.36, 0.86, 0.0),
    "fork": (0.41, 0.68, 0.0),
    "stem": (0.33, 1.0, 0.0),
}
TUBES = (
    ("rear axle", "pedals"), ("rear axle", "seat clamp"), ("pedals", "seat clamp"), ("seat clamp", "seat"),
    ("pedals", "fork"), ("seat clamp", "head"), ("stem", "fork"), ("fork", "front axle"),
)  # fmt: skip


@dataclass(frozen=True)
class Bike:
    """A bike at a pose; `rider` is None where it is parked."""

    pose: Pose
    colour: Colour
    rider: Clothes | None
    basket: bool

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return self.pose.distance


def paint_bike(canvas: Canvas, bike: Bike) -> None:
    """Paint a bike as a new instance, and its rider, if any, as another."""
    canvas.shade_street(bike.pose, 1.7, 0.5, 0.35)
    canvas.stand(bike.pose.x, bike.pose.z)
    with canvas.instance("bike", trafficLightColor="none"):
        _paint_wheels(canvas, bike)
        _paint_frame(canvas, bike)
    if bike.rider is not None:
        with canvas.instance("rider", trafficLightColor="none"):
            _paint_rider(canvas, bike, bike.rider)


def _seen(canvas: Canvas, bike: Bike, points: object) -> Floats:
    return canvas.view.project(bike.pose.place(np.asarray(points, dtype=np.float64)))


def _paint_wheels(canvas: Canvas, bike: Bike) -> None:
    angles = np.linspace(0, 2 * np.pi, 22, endpoint=False)
    tyre = canvas.view.pixels(0.05, bike.pose.z)
    for axle in AXLES:
        rings = []
        for radius in (WHEEL, WHEEL * 0.84):
            ring = np.stack([axle + np.cos(angles) * radius, WHEEL + np.sin(angles) * radius, 0 * angles], 1)
            rings.append(_seen(canvas, bike, ring))
        half = np.array([tyre / 2, 0.0])
        hull = np.concatenate([rings[0] - half, rings[0] + half])
        canvas.own(hull[_hull_order(hull)])
        canvas.line((rings[0] + rings[1]) / 2, tyre * 1.15, (30, 30, 30))
        canvas.line(rings[1], tyre * 0.3, (150, 150, 150))
        hub = _seen(canvas, bike, [(axle, WHEEL, 0.0)])[0]
        for spoke in rings[1][::4]:
            canvas.stroke(hub, spoke, 1.0, (120, 120, 120))


def _hull_order(points: Floats) -> list[int]:
    """Return the indices of the convex hull of points [N, 2], in order."""
    import cv2

    return cv2.convexHull(points.astype(np.float32), returnPoints=False).ravel().tolist()


def _paint_frame(canvas: Canvas, bike: Bike) -> None:
    names = list(JOINTS)
    at = dict(zip(names, _seen(canvas, bike, [JOINTS[name] for name in names]), strict=True))
    tube = canvas.view.pixels(0.045, bike.pose.z)
    body = np.stack([at[name] for name in ("rear axle", "pedals", "front axle", "head", "seat clamp")])
    canvas.own(body[_hull_order(body)])
    for start, end in TUBES:
        canvas.stroke(at[start], at[end], tube, bike.colour)
    bar = _seen(canvas, bike, [(0.36, 1.03, -0.28), (0.36, 1.03, 0.28)])
    canvas.stroke(bar[0], bar[1], tube, (45, 45, 45))
    saddle = _seen(canvas, bike, [(-0.36, 0.96, -0.07), (-0.36, 0.96, 0.07), (-0.08, 0.97, 0.0)])
    canvas.fill(saddle, colour=(35, 35, 38))
    canvas.stroke(saddle[0], saddle[2], tube * 1.3, (35, 35, 38))
    if bike.basket:
        side = [(0.42, 0.75, 0.12), (0.72, 0.75, 0.12), (0.76, 0.98, 0.15), (0.4, 0.98, 0.15)]
        back = [(0.72, 0.75, -0.14), (0.72, 0.75, 0.14), (0.76, 0.98, 0.16), (0.76, 0.98, -0.16)]
        for quad in (back, side):
            canvas.fill(_seen(canvas, bike, quad), colour=(70, 85, 110))


def _paint_rider(canvas: Canvas, bike: Bike, clothes: Clothes) -> None:
    """Paint far leg, torso, near leg, arms and head of someone who sits on the bike."""
    pixel = canvas.view.pixels(1.0, bike.pose.z)
    pedal = clothes.stride * np.pi
    for side in (-1.0, 1.0):
        foot = (-0.06 + 0.17 * np.cos(pedal) * side, 0.3 + 0.17 * np.sin(pedal) * side, 0.11 * side)
        knee = (0.2 + 0.06 * np.cos(pedal) * side, 0.72 + 0.1 * np.sin(pedal) * side, 0.12 * side)
        hip, thigh, heel = _seen(canvas, bike, [(-0.2, 0.98, 0.08 * side), knee, foot])
        canvas.stroke(hip, thigh, pixel * 0.15, clothes.legs)
        canvas.stroke(thigh, heel, pixel * 0.11, clothes.legs)
        canvas.disc(heel, max(pixel * 0.06, 1), (40, 40, 40))
    torso = [(-0.3, 0.95, -0.15), (-0.3, 0.95, 0.15), (-0.12, 0.95, 0.15), (0.2, 1.45, 0.2), (0.02, 1.5, 0.2),
             (0.02, 1.5, -0.2), (0.2, 1.45, -0.2), (-0.12, 0.95, -0.15)]  # fmt: skip
    outline = _seen(canvas, bike, torso)
    canvas.fill(outline[_hull_order(outline)], colour=clothes.torso)
    for side in (-1.0, 1.0):
        shoulder, elbow, hand = _seen(
            canvas, bike, [(0.1, 1.42, 0.19 * side), (0.2, 1.18, 0.26 * side), (0.4, 1.07, 0.25 * side)]
        )
        canvas.stroke(shoulder, elbow, pixel * 0.1, clothes.torso)
        canvas.stroke(elbow, hand, pixel * 0.08, SKIN if clothes.short else clothes.torso)
    head = _seen(canvas, bike, [(0.2, 1.64, 0.0)])[0]
    canvas.fill(ellipse(head, pixel * 0.1, pixel * 0.125), colour=SKIN)
    canvas.fill(ellipse(head - [0, pixel * 0.06], pixel * 0.12, pixel * 0.09), colour=clothes.head)
