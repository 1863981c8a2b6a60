"""The colour of each class, the same in every picture and chart, legible on white and on black.

Which chart shows what is not decided here.
"""

from pipeline.thumbnails import colour as further_colour

COLOURS = (
    "#2f7de1",
    "#e8710a",
    "#0f9d6b",
    "#b44bd6",
    "#c9960c",
    "#14a3b8",
    "#e0559a",
    "#7a6cf0",
    "#7f9a1e",
    "#a8623c",
)
"""Of about equal lightness; red is kept for errors."""
ERROR = "#ff2d3f"


def of_class(number: int) -> str:
    """Return the colour of the class at `number` (from 0), as #rrggbb."""
    if number < len(COLOURS):
        return COLOURS[number]
    return "#{:02x}{:02x}{:02x}".format(*further_colour(number))


def rgb(colour: str) -> tuple[int, int, int]:
    """Return #rrggbb as (red, green, blue) in 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
