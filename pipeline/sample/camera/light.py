"""How daylight, headlights and fog change a colour at a place of the street; nothing is drawn here."""

from dataclasses import dataclass

import numpy as np

from pipeline.sample.arrays import Colour, Floats

FOG_IN_METRES = {"foggy": (45.0, 110.0), "rainy": (120.0, 300.0), "snowy": (90.0, 220.0)}

DIM = 0.3


@dataclass(frozen=True)
class Conditions:
    """The 2018 frame attributes of a scene, in BDD's own words."""

    weather: str
    place: str
    timeofday: str

    @property
    def night(self) -> bool:
        """Whether lamps are on and the sky is dark."""
        return self.timeofday == "night"

    @property
    def wet(self) -> bool:
        """Whether the street reflects."""
        return self.weather == "rainy"


@dataclass(frozen=True)
class Light:
    """What falls on things: `ambient` gains (blue, green, red), own `headlight` gain, `haze` colour and its reach."""

    ambient: Colour
    headlight: float
    haze: Colour
    reach: float
    sun_side: float

    @property
    def lamps_on(self) -> bool:
        """Whether it is dark enough for street lamps and lit windows."""
        return self.headlight > DIM

    def gain(self, x: Floats | float, z: Floats | float) -> Floats:
        """Return the gain [..., 3] by which a colour at (x, z) metres is multiplied."""
        cone = np.exp(-((np.asarray(x) / (3.0 + 0.3 * np.asarray(z))) ** 2))
        beam = self.headlight * cone * np.exp(-np.maximum(np.asarray(z) - 4.0, 0.0) / 26.0)
        return np.asarray(self.ambient) + beam[..., None] * np.array([0.82, 0.95, 1.0])

    def clearness(self, z: Floats | float) -> Floats:
        """Return which share of a colour at depth `z` gets through the haze, 0 to 1."""
        return np.exp(-np.asarray(z, dtype=np.float64) / self.reach)


def sample_conditions(rng: np.random.Generator) -> Conditions:
    """Draw weather, place and time of day with roughly BDD's shares."""
    return Conditions(
        weather=str(
            rng.choice(
                ["clear", "partly cloudy", "overcast", "rainy", "snowy", "foggy"], p=[0.42, 0.15, 0.2, 0.13, 0.04, 0.06]
            )
        ),
        place=str(rng.choice(["city street", "residential", "highway"], p=[0.55, 0.3, 0.15])),
        timeofday=str(rng.choice(["daytime", "dawn/dusk", "night"], p=[0.66, 0.18, 0.16])),
    )


def sample_light(conditions: Conditions, rng: np.random.Generator) -> Light:
    """Draw the light that fits the conditions."""
    low, high = FOG_IN_METRES.get(conditions.weather, (400.0, 1500.0))
    reach = float(rng.uniform(low, high))
    sun_side = float(rng.choice([-1.0, 1.0]))
    if conditions.night:
        level = rng.uniform(0.36, 0.52)
        ambient = (level * rng.uniform(0.9, 1.15), level * 0.97, level * rng.uniform(0.95, 1.3))
        return Light(ambient, float(rng.uniform(0.5, 0.8)), (38.0, 32.0, 32.0), reach, sun_side)
    if conditions.timeofday == "dawn/dusk":
        level = rng.uniform(0.5, 0.75)
        return Light((level * 1.05, level * 0.95, level * 1.05), 0.12, (150.0, 150.0, 175.0), reach, sun_side)
    level = rng.uniform(0.82, 1.02) * (0.85 if conditions.weather in ("rainy", "overcast", "foggy") else 1.0)
    return Light((level * 1.02, level, level * 0.98), 0.0, (215.0, 208.0, 200.0), reach, sun_side)
