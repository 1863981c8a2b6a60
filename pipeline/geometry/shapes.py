"""Round shapes as rings: circles and ellipses, as VIA draws them.

Rectangles and ribbons are in `polygon`.
"""

import math

import numpy as np

from pipeline.instances import Ring

FEWEST_SIDES = 12
MOST_SIDES = 720


def ellipse(x: float, y: float, radius_x: float, radius_y: float, angle: float, tolerance: float) -> Ring:
    """Return a ring within `tolerance` pixels of the ellipse around (x, y), turned by `angle` radians (x towards y).

    A side of a circle of radius r that spans 2a radians lies r (1 - cos a) inside it.
    """
    largest = max(radius_x, radius_y)
    half = math.acos(1 - min(tolerance / largest, 1))
    sides = min(max(math.ceil(math.pi / half), FEWEST_SIDES), MOST_SIDES)
    turn = np.arange(sides) * (2 * math.pi / sides)
    # Python's functions, not numpy's: those differ in the last bit from one processor to another
    along = radius_x * np.array([math.cos(each) for each in turn.tolist()])
    across = radius_y * np.array([math.sin(each) for each in turn.tolist()])
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.stack([x + along * cosine - across * sine, y + along * sine + across * cosine], axis=1)
