"""Colours of classes, and JPEGs that are small enough to stand in a page or in the metadata of an artifact."""

import colorsys
import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from mrcnn.data import decoding
from pipeline.files.atomic import whole_file
from pipeline.geometry.polygon import Ring

log = logging.getLogger(__name__)

LARGEST = 40_000
"""Bytes of a picture that Dagster keeps in its event log."""
LONGEST_SIDE = 480
"""Pixels; a quality at which the picture is small enough is sought before it is made smaller still."""
MASK_OPACITY = 90
QUALITIES = (80, 65, 50, 35)
COLOURS = (
    "#2f7de1", "#e8710a", "#0f9d6b", "#b44bd6", "#c9960c", "#14a3b8", "#e0559a", "#7a6cf0", "#7f9a1e", "#a8623c",
)  # fmt: skip
"""Of about equal lightness; red is kept for errors."""
ERROR = "#ff2d3f"
GOLDEN_RATIO = 0.618034
"""Steps of this share of the colour circle never come back to a colour: neighbouring classes look different."""

Mask = tuple[int, Sequence[Ring]]
"""The number of a class, and the rings of one instance in pixels of the full image."""


def colour(number: int) -> str:
    """Return the colour of the class at `number` (from 0), as #rrggbb."""
    if number < len(COLOURS):
        return COLOURS[number]
    shares = colorsys.hsv_to_rgb((number * GOLDEN_RATIO) % 1, 0.85, 1.0)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)


def jpeg(picture: Image.Image, largest: int | None = None) -> bytes:
    """Return a JPEG; with `largest`, of the best quality, then size, that needs no more bytes."""
    while True:
        for quality in QUALITIES:
            content = BytesIO()
            picture.save(content, "JPEG", quality=quality, optimize=True, progressive=True)
            if largest is None or content.tell() <= largest:
                return content.getvalue()
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def overlay(encoded: bytes, masks: Sequence[Mask], path: Path) -> bool:
    """Write to `path` a JPEG of at most `LARGEST` bytes: the image, with each mask in the colour of its class.

    Returns False, logs why, and writes nothing when `encoded` is no image that can be decoded.
    """
    try:
        height, width = decoding.image_size(encoded, path.name)
        reduce = decoding.reduction((height, width), (LONGEST_SIDE, LONGEST_SIDE))
        picture = Image.fromarray(decoding.decode(encoded, path.name, reduce))
    except decoding.ImageError as error:
        log.warning("no picture of an image that can't be decoded: %s", error)
        return False
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    drawn = _masked(picture, masks, (picture.width / width, picture.height / height))
    with whole_file(path) as file:
        file.write(jpeg(drawn, LARGEST))
    return True


def _masked(picture: Image.Image, masks: Sequence[Mask], scale: tuple[float, float]) -> Image.Image:
    """Return `picture` with each mask filled half transparent and outlined; `scale` (x, y) brings rings to its size."""
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    for number, rings in masks:
        for ring in rings:
            corners = [(x * scale[0], y * scale[1]) for x, y in ring.tolist()]
            draw.polygon(corners, fill=f"{colour(number)}{MASK_OPACITY:02x}", outline=colour(number))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")
