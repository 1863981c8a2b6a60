"""Names for the arrays and colours that the sample's drawing code passes around, and how to make them.

Nothing is drawn here.
"""

from typing import Any, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Colour: TypeAlias = tuple[float, float, float]
"""Blue, green, red, 0–255, as OpenCV has them."""


def dimmed(colour: Colour, gain: float) -> Colour:
    """Return a colour with all its levels multiplied by `gain`."""
    return (colour[0] * gain, colour[1] * gain, colour[2] * gain)


def drawn_colour(levels: "Floats") -> Colour:
    """Return three drawn levels as a colour."""
    blue, green, red = levels.tolist()
    return (blue, green, red)
