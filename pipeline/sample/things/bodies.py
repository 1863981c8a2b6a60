"""Measures of cars, vans, pickups, trucks and buses: side profiles, windows and wheels, in metres.

How they are painted is elsewhere.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A side profile from the rear bumper over the roof to the front bumper.

    `profile`: (along, up, half width) in metres; `faces`: what each stretch of it is; `windows`:
    (along, up) quads on the side; `wheels`: where along; `radius`: theirs.
    """

    category: str
    profile: tuple[tuple[float, float, float], ...]
    faces: tuple[str, ...]
    windows: tuple[tuple[tuple[float, float], ...], ...]
    wheels: tuple[float, ...]
    radius: float

    @property
    def length(self) -> float:
        """Metres from bumper to bumper."""
        return self.profile[-1][0] - self.profile[0][0]

    @property
    def width(self) -> float:
        """Metres from side to side."""
        return 2 * max(half for _, _, half in self.profile)

    @property
    def tall(self) -> float:
        """Metres from the street to the roof."""
        return max(up for _, up, _ in self.profile)


CAR_FACES = ("bumper", "rear", "lid", "glass", "roof", "glass", "bonnet", "front", "bumper")
BOX_FACES = ("bumper", "rear", "roof", "glass", "front", "bumper")

SEDAN = Shape(
    "car",
    ((-2.3, 0.28, 0.86), (-2.34, 0.6, 0.89), (-2.26, 0.97, 0.86), (-1.75, 1.03, 0.84), (-0.98, 1.42, 0.62),
     (0.35, 1.45, 0.62), (1.2, 0.98, 0.83), (2.15, 0.8, 0.85), (2.34, 0.55, 0.87), (2.3, 0.24, 0.84)),
    CAR_FACES,
    (((-1.5, 1.04), (-0.95, 1.35), (-0.3, 1.38), (-0.28, 1.0)), ((-0.18, 1.0), (-0.2, 1.38), (0.3, 1.38), (0.95, 1.0))),
    (-1.4, 1.42), 0.33,
)  # fmt: skip
HATCHBACK = Shape(
    "car",
    ((-1.95, 0.28, 0.83), (-2.02, 0.62, 0.86), (-1.95, 0.92, 0.85), (-1.88, 1.0, 0.83), (-1.45, 1.47, 0.62),
     (0.3, 1.5, 0.62), (1.12, 1.0, 0.8), (1.85, 0.82, 0.82), (2.02, 0.55, 0.84), (1.98, 0.24, 0.82)),
    CAR_FACES,
    (((-1.65, 1.04), (-1.3, 1.4), (-0.4, 1.42), (-0.38, 1.02)),
     ((-0.28, 1.02), (-0.3, 1.42), (0.25, 1.42), (0.9, 1.0))),
    (-1.25, 1.25), 0.32,
)  # fmt: skip
SUV = Shape(
    "car",
    ((-2.25, 0.38, 0.9), (-2.33, 0.75, 0.93), (-2.28, 1.08, 0.92), (-2.22, 1.15, 0.9), (-1.95, 1.68, 0.72),
     (0.3, 1.74, 0.72), (1.05, 1.18, 0.88), (2.1, 1.04, 0.9), (2.32, 0.7, 0.92), (2.28, 0.34, 0.9)),
    CAR_FACES,
    (((-2.0, 1.2), (-1.8, 1.6), (-0.5, 1.64), (-0.48, 1.2)), ((-0.38, 1.2), (-0.4, 1.64), (0.25, 1.65), (0.85, 1.2))),
    (-1.38, 1.42), 0.38,
)  # fmt: skip
PICKUP = Shape(
    "car",
    ((-2.7, 0.42, 0.9), (-2.75, 0.75, 0.94), (-2.74, 1.12, 0.94), (-0.85, 1.14, 0.92), (-0.7, 1.76, 0.72),
     (0.45, 1.78, 0.72), (1.1, 1.2, 0.9), (2.45, 1.08, 0.92), (2.62, 0.75, 0.94), (2.58, 0.38, 0.92)),
    CAR_FACES,
    (((-0.75, 1.22), (-0.62, 1.66), (-0.2, 1.68), (-0.18, 1.22)),
     ((-0.1, 1.22), (-0.12, 1.68), (0.4, 1.69), (0.95, 1.22))),
    (-1.65, 1.65), 0.4,
)  # fmt: skip
VAN = Shape(
    "car",
    ((-2.5, 0.35, 0.93), (-2.55, 0.7, 0.95), (-2.52, 1.2, 0.94), (-2.5, 1.28, 0.93), (-2.4, 1.95, 0.8),
     (1.1, 1.98, 0.8), (1.85, 1.25, 0.9), (2.35, 1.05, 0.92), (2.5, 0.65, 0.93), (2.45, 0.3, 0.92)),
    CAR_FACES,
    (((-2.3, 1.3), (-2.25, 1.82), (-1.0, 1.84), (-1.0, 1.3)), ((0.2, 1.3), (0.2, 1.84), (1.05, 1.84), (1.6, 1.3))),
    (-1.6, 1.6), 0.36,
)  # fmt: skip
TRUCK = Shape(
    "truck",
    ((-3.6, 0.55, 1.2), (-3.62, 0.95, 1.2), (-3.62, 3.2, 1.2), (3.3, 3.2, 1.2), (3.55, 1.7, 1.15),
     (3.6, 0.9, 1.15), (3.6, 0.4, 1.12)),
    BOX_FACES, (((2.3, 1.75), (2.3, 2.5), (3.2, 2.5), (3.35, 1.75)),), (-2.3, 2.5), 0.48,
)  # fmt: skip
BUS = Shape(
    "bus",
    ((-5.6, 0.4, 1.25), (-5.65, 0.9, 1.25), (-5.65, 3.0, 1.25), (5.55, 3.0, 1.25), (5.65, 1.2, 1.25),
     (5.66, 0.8, 1.25), (5.6, 0.35, 1.22)),
    BOX_FACES,
    tuple(((a, 1.35), (a, 2.45), (a + 1.35, 2.45), (a + 1.35, 1.35)) for a in (-5.2, -3.7, -2.2, -0.7, 0.8, 2.3, 3.8)),
    (-3.4, 3.6), 0.5,
)  # fmt: skip
SHAPES = {"sedan": SEDAN, "hatchback": HATCHBACK, "suv": SUV, "pickup": PICKUP, "van": VAN, "truck": TRUCK, "bus": BUS}
