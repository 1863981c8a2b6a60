"""Vehicles, painted face by face: side profiles pulled out to their width.

Where they stand and which way they head is given; traffic is planned in `traffic.py`.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, Floats
from pipeline.sample.camera.canvas import Canvas
from pipeline.sample.camera.view import Pose
from pipeline.sample.things.bodies import SHAPES, Shape

GLASS: Colour = (72, 62, 52)
TYRE: Colour = (28, 27, 27)
RIM: Colour = (150, 148, 146)
RED_LAMP: Colour = (35, 30, 165)
RED_SHINING: Colour = (90, 80, 255)
WHITE_LAMP: Colour = (215, 215, 210)
WHITE_SHINING: Colour = (235, 248, 255)


@dataclass(frozen=True)
class Vehicle:
    """A vehicle of a kind of SHAPES; `lamps`: head and tail lamps are on; `braking`: its tail lamps are bright."""

    kind: str
    pose: Pose
    colour: Colour
    braking: bool
    lamps: bool

    @property
    def depth(self) -> float:
        """Metres from the camera, by which things are painted, far to near."""
        return self.pose.distance

    @property
    def shape(self) -> Shape:
        """Its measures."""
        return SHAPES[self.kind]


@dataclass(frozen=True)
class _Face:
    """One face in the picture: its kind, `corners` [4, 2] (lower left, lower right, upper right, upper left)."""

    kind: str
    corners: Floats
    outline: Floats
    distance: float
    gain: float

    def part(self, left: float, right: float, low: float, high: float) -> Floats:
        """Return the outline [4, 2] of a rectangle on the face, in shares of its width and height."""
        a, b, c, d = self.corners
        return np.stack(
            [
                (a * (1 - p) + b * p) * (1 - q) + (d * (1 - p) + c * p) * q
                for p, q in ((left, low), (right, low), (right, high), (left, high))
            ]
        )


def paint_vehicle(canvas: Canvas, vehicle: Vehicle) -> None:
    """Paint a vehicle with its shadow as a new instance."""
    shape, pose = vehicle.shape, vehicle.pose
    canvas.shade_street(pose, shape.length, shape.width, 0.35 if canvas.light.lamps_on else 0.62)
    canvas.stand(pose.x, pose.z)
    with canvas.instance(shape.category, trafficLightColor="none"):
        _paint_below(canvas, vehicle)
        faces = [*_profile_faces(canvas, vehicle), *_side_faces(canvas, vehicle)]
        for face in sorted(faces, key=lambda face: -face.distance):
            _paint_face(canvas, vehicle, face)


def _to_picture(canvas: Canvas, vehicle: Vehicle, points: object) -> Floats:
    return canvas.view.project(vehicle.pose.place(np.asarray(points, dtype=np.float64)))


def _paint_below(canvas: Canvas, vehicle: Vehicle) -> None:
    """Paint the tyres and the dark underside, of which the faces leave only a strip above the street."""
    shape = vehicle.shape
    half = shape.width / 2 - 0.06
    for along in sorted(shape.wheels, key=lambda a: -abs(vehicle.pose.z + a * np.cos(vehicle.pose.yaw))):
        for side in (-half, half):
            inner = side - np.sign(side) * 0.24
            for end in (along - shape.radius * 0.6, along + shape.radius * 0.6):
                quad = [(end, 0.0, side), (end, 0.5, side), (end, 0.5, inner), (end, 0.0, inner)]
                canvas.fill(_to_picture(canvas, vehicle, quad), colour=TYRE, gain=0.7)
    front, rear = shape.profile[-1], shape.profile[0]
    for along, up, _ in (front, rear):
        quad = [(along * 0.96, up * 0.7, -half), (along * 0.96, up * 0.7, half), (along * 0.96, up + 0.1, half),
                (along * 0.96, up + 0.1, -half)]  # fmt: skip
        canvas.fill(_to_picture(canvas, vehicle, quad), colour=TYRE, gain=0.6)


def _profile_faces(canvas: Canvas, vehicle: Vehicle) -> list[_Face]:
    """Return the faces across the vehicle that look towards the camera: rear, lid, windows, roof, bonnet, front."""
    faces = []
    eye = _eye(canvas, vehicle.pose)
    for kind, (a1, u1, h1), (a2, u2, h2) in zip(
        vehicle.shape.faces, vehicle.shape.profile, vehicle.shape.profile[1:], strict=False
    ):
        outward = np.array([-(u2 - u1), a2 - a1])
        middle = np.array([(a1 + a2) / 2, (u1 + u2) / 2])
        if outward @ (eye[:2] - middle) <= 0:
            continue
        backwards = middle[0] < 0 and kind != "roof"
        low, high = ((a1, u1, h1), (a2, u2, h2)) if backwards else ((a2, u2, h2), (a1, u1, h1))
        side = 1 if backwards else -1
        corners = [(low[0], low[1], -side * low[2]), (low[0], low[1], side * low[2]),
                   (high[0], high[1], side * high[2]), (high[0], high[1], -side * high[2])]  # fmt: skip
        seen = _to_picture(canvas, vehicle, corners)
        distance = float(np.hypot(*(eye[:2] - middle)))
        gain = {"roof": 1.12, "lid": 1.08, "bonnet": 1.08, "glass": 1.0}.get(kind, 0.86)
        faces.append(_Face(kind, seen, seen, distance, gain))
    return faces


def _eye(canvas: Canvas, pose: Pose) -> Floats:
    """Return where the camera is, seen from the vehicle: (along, up, right) in metres."""
    sine, cosine = np.sin(pose.yaw), np.cos(pose.yaw)
    return np.array(
        [-pose.x * sine - pose.z * cosine, canvas.view.height, -pose.x * cosine + pose.z * sine], dtype=np.float64
    )


def _side_faces(canvas: Canvas, vehicle: Vehicle) -> list[_Face]:
    """Return the side that looks towards the camera, if one does."""
    shape = vehicle.shape
    half = shape.width / 2
    right = _eye(canvas, vehicle.pose)[2]
    if abs(right) <= half:
        return []
    side = float(np.sign(right))
    outline = _to_picture(canvas, vehicle, [(a, u, side * h) for a, u, h in shape.profile])
    sunny = canvas.light.sun_side * side * np.cos(vehicle.pose.yaw) > 0
    return [_Face(f"side {side:+.0f}", outline[:4], outline, abs(right), 1.0 if sunny else 0.72)]


def _paint_face(canvas: Canvas, vehicle: Vehicle, face: _Face) -> None:
    if face.kind.startswith("side"):
        _paint_side(canvas, vehicle, face, 1.0 if face.kind.endswith("+1") else -1.0)
        return
    body = vehicle.colour
    canvas.fill(face.outline, colour=body, gain=face.gain * (0.82 if face.kind == "bumper" else 1.0))
    if face.kind == "glass":
        canvas.fill(face.part(0.06, 0.94, 0.08, 0.94), colour=GLASS, gain=0.9)
        canvas.fill(face.part(0.1, 0.45, 0.55, 0.9), colour=GLASS, gain=1.45)
    elif face.kind == "rear":
        _paint_rear(canvas, vehicle, face)
    elif face.kind == "front":
        _paint_front(canvas, vehicle, face)


def _paint_rear(canvas: Canvas, vehicle: Vehicle, face: _Face) -> None:
    tall = vehicle.shape.category != "car"
    low, high = (0.03, 0.14) if tall else (0.38, 0.88)
    shining = vehicle.braking or vehicle.lamps
    colour = RED_SHINING if shining else RED_LAMP
    if vehicle.kind in ("bus", "van"):
        canvas.fill(face.part(0.14, 0.86, 0.5, 0.92), colour=GLASS)
    for left in (0.03, 0.8):
        lamp = face.part(left, left + 0.17, low, high)
        canvas.fill(lamp, colour=colour, gain=1.0)
        if shining and vehicle.lamps:
            _shine(canvas, vehicle, lamp, (60, 50, 255) if vehicle.braking else (35, 25, 170), 0.55)
    if not tall:
        canvas.fill(face.part(0.36, 0.64, 0.3, 0.72), colour=(225, 228, 228))
        canvas.fill(face.part(0.4, 0.6, 0.45, 0.58), colour=(90, 80, 75))


def _paint_front(canvas: Canvas, vehicle: Vehicle, face: _Face) -> None:
    canvas.fill(face.part(0.26, 0.74, 0.15, 0.8), colour=(40, 38, 38))
    canvas.fill(face.part(0.38, 0.62, 0.02, 0.3), colour=(215, 218, 218))
    for left in (0.03, 0.78):
        lamp = face.part(left, left + 0.19, 0.42, 0.92)
        canvas.fill(lamp, colour=WHITE_SHINING if vehicle.lamps else WHITE_LAMP, gain=1.0)
        if vehicle.lamps:
            _shine(canvas, vehicle, lamp, (215, 238, 255), 1.1)


def _shine(canvas: Canvas, vehicle: Vehicle, lamp: Floats, colour: Colour, metres: float) -> None:
    u, v = lamp.mean(axis=0)
    canvas.glow(u, v, max(canvas.view.pixels(metres, vehicle.pose.z), 5.0), colour)


def _paint_side(canvas: Canvas, vehicle: Vehicle, face: _Face, side: float) -> None:
    shape = vehicle.shape
    half = shape.width / 2
    canvas.fill(face.outline, colour=vehicle.colour, gain=face.gain)
    rear, front = shape.profile[0][0] * 0.97, shape.profile[-1][0] * 0.97
    sill = [(along, up, half * side) for along, up in ((rear, 0.3), (rear, 0.46), (front, 0.46), (front, 0.3))]
    canvas.fill(_to_picture(canvas, vehicle, sill), colour=vehicle.colour, gain=face.gain * 0.6)
    roof_half = min(h for _, _, h in shape.profile)
    belt = min(up for window in shape.windows for _, up in window)
    lean = (half - roof_half) / (shape.tall - belt)
    for window in shape.windows:
        leaning = [(along, up, side * (half - lean * (up - belt))) for along, up in window]
        canvas.fill(_to_picture(canvas, vehicle, leaning), colour=GLASS, gain=0.95)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for along in shape.wheels:
        for radius, colour in ((1.22, (32, 30, 30)), (1.0, TYRE), (0.6, RIM), (0.2, (70, 70, 70))):
            ring = np.stack([along + np.cos(angles) * shape.radius * radius,
                             np.maximum(shape.radius * (1 + np.sin(angles) * radius), 0),
                             np.full(16, side * (half + 0.01))], 1)  # fmt: skip
            canvas.fill(_to_picture(canvas, vehicle, ring), colour=colour, gain=1.0 if radius < 1 else 0.8)
