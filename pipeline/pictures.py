"""Colours of classes, and small pictures of labelled images for the metadata of an artifact."""

import colorsys
import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, UnidentifiedImageError

from pipeline.files.atomic import whole_file
from pipeline.geometry.polygon import Ring

log = logging.getLogger(__name__)

LARGEST = 40_000
"""Bytes of a thumbnail: they are kept in Dagster's event log."""
LONGEST_SIDE = 480
"""Pixels; a quality at which the picture is small enough is sought before it is made smaller still."""
MASK_OPACITY = 90
QUALITIES = (85, 70, 50, 30)
GOLDEN_RATIO = 0.618034
"""Steps of this share of the colour circle never come back to a colour: neighbouring classes look different."""

Mask = tuple[int, Sequence[Ring]]
"""The number of a class, and the rings of one instance in pixels of the full image."""


def overlay(encoded: bytes, masks: Sequence[Mask], path: Path) -> bool:
    """Write to `path` a JPEG of at most `LARGEST` bytes: the image, with each mask in the colour of its class.

    Returns False, logs why, and writes nothing when `encoded` is no image that can be decoded.
    """
    try:
        with Image.open(BytesIO(encoded)) as image:
            width, height = image.size
            image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.warning("%s: no picture of it, since the image can't be decoded: %s", path.name, error)
        return False
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    drawn = draw_masks(picture, masks, (picture.width / width, picture.height / height))
    with whole_file(path) as file:
        file.write(_small_jpeg(drawn))
    return True


def draw_masks(picture: Image.Image, masks: Sequence[Mask], scale: tuple[float, float]) -> Image.Image:
    """Return `picture` with each mask filled half transparent and outlined; `scale` (x, y) brings rings to its size."""
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    for number, rings in masks:
        red, green, blue = colour(number)
        for ring in rings:
            corners = [(x * scale[0], y * scale[1]) for x, y in ring.tolist()]
            draw.polygon(corners, fill=(red, green, blue, MASK_OPACITY), outline=(red, green, blue, 255))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour of a class, (red, green, blue) in 0..255."""
    red, green, blue = colorsys.hsv_to_rgb((number * GOLDEN_RATIO) % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _small_jpeg(picture: Image.Image) -> bytes:
    while True:
        for quality in QUALITIES:
            buffer = BytesIO()
            picture.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= LARGEST:
                return buffer.getvalue()
        picture = picture.resize((max(picture.width // 2, 1), max(picture.height // 2, 1)))


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
    return "#{:02x}{:02x}{:02x}".format(*colour(number))


def rgb(colour: str) -> tuple[int, int, int]:
    """Return #rrggbb as (red, green, blue) in 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
