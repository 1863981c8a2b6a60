"""Pictures of what is labelled beside what was found, small enough to stand in a page.

Which images are worth showing is decided here, too; how good they are is measured in `pipeline.evaluation.judgement`.
"""

# ruff: noqa: TID253 - nothing imports this module before a report is made

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline import pictures
from pipeline.dataset.images_zip import ImagesZip
from pipeline.evaluation import scores
from pipeline.evaluation.detections import JudgedImage, Rle
from pipeline.evaluation.judgement import Judgement, Quality, quality

WIDTH = 640
"""Pixels of a picture in the page."""
QUALITIES = (80, 65, 50, 35)
TINT, FAINT = 0.36, 0.15
LABELLED_FROM = 34
"""An instance narrower than this many pixels of the picture is outlined only, so that its name doesn't hide it."""
FONT_SIZE, SIGN_SIZE = 13, 10
FALSE, MISSED = "x", "?"
"""Signs of an error, so that it is not told by colour alone; the font that comes with Pillow has both."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Chosen:
    """An image that is shown, and why."""

    position: int
    why: str
    """best | worst | random"""
    quality: Quality


@dataclass(frozen=True)
class Mark:
    """An instance as it is drawn; `error` is "" or the character that stands on it: `FALSE` or `MISSED`."""

    number: int
    text: str
    mask: Rle
    error: str = ""
    faint: bool = False


def choose(judgement: Judgement, count: int, seed: int) -> list[Chosen]:
    """Return a third best, a third worst and a third drawn at random, none twice, of images that show anything."""
    measured = {
        position: quality(judgement, position)
        for position, image in enumerate(judgement.images)
        if image.truth or judgement.shown(image)
    }
    ranked = sorted(measured, key=lambda position: (-measured[position].score, position))
    count = min(count, len(ranked))
    best, worst = ranked[: -(-count // 3)], ranked[len(ranked) - count // 3 :]
    middle = [position for position in ranked if position not in {*best, *worst}]
    drawn = np.random.default_rng(seed).permutation(middle)[: count - len(best) - len(worst)].tolist()
    groups = {"best": best, "worst": worst[::-1], "random": sorted(drawn)}
    return [Chosen(position, why, measured[position]) for why, group in groups.items() for position in group]


def pair(archive: ImagesZip, judgement: Judgement, position: int, width: int = WIDTH) -> tuple[Pixels, Pixels]:
    """Return two pictures of the image at `position`, [h, width, 3] uint8 RGB: as labelled, and as detected."""
    image = judgement.images[position]
    pixels = archive.pixels(image.record)
    height = max(1, round(width * pixels.shape[0] / pixels.shape[1]))
    small = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    labelled, detected = _marks(judgement, image, position)
    return _draw(small, labelled), _draw(small, detected)


def jpeg(pixels: Pixels, largest: int | None = None) -> bytes:
    """Return a JPEG; with `largest`, of the best quality, then size, that needs no more bytes."""
    picture = Image.fromarray(pixels)
    while True:
        for quality_factor in QUALITIES:
            content = BytesIO()
            picture.save(content, "JPEG", quality=quality_factor, optimize=True, progressive=True)
            if largest is None or content.tell() <= largest:
                return content.getvalue()
        picture = picture.resize((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def _marks(judgement: Judgement, image: JudgedImage, position: int) -> tuple[list[Mark], list[Mark]]:
    numbers = {name: number for number, name in enumerate(judgement.categories)}
    matched, shown = judgement.matches[position], judgement.shown(image)
    found = {int(matched.truth_of[k]) for k in shown}
    labelled = [
        Mark(
            numbers[truth.category],
            truth.category + (" (ignored)" if truth.ignored else ""),
            truth.rle,
            "" if truth.ignored or number in found else MISSED,
            truth.ignored,
        )
        for number, truth in enumerate(image.truth)
    ]
    detections = [(image.detections[k], int(matched.truth_of[k])) for k in shown]
    detected = [
        Mark(
            numbers[detection.category],
            f"{detection.category} {detection.score:.2f}",
            detection.rle,
            FALSE if truth_of == scores.FALSE else "",
            truth_of == scores.IGNORED,
        )
        for detection, truth_of in detections
    ]
    return labelled, detected


def _draw(pixels: Pixels, marks: Sequence[Mark]) -> Pixels:
    """Return the picture with each mark tinted and outlined, large ones below small ones, and names over all."""
    canvas = pixels.copy()
    ordered = sorted(marks, key=lambda mark: -mark.mask.area)
    boxes = [_tint(canvas, mark) for mark in ordered]
    picture = Image.fromarray(canvas)
    for mark, box in zip(ordered, boxes, strict=True):
        _name(picture, mark, box)
    return np.asarray(picture)


def _tint(canvas: Pixels, mark: Mark) -> tuple[int, int, int, int]:
    """Tint and outline a mask; return its box (left, top, width, height) in the picture."""
    height, width = canvas.shape[:2]
    cover = cv2.resize(mark.mask.pixels().astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    left, top, across, down = cv2.boundingRect(cover)
    window = canvas[top : top + down, left : left + across]
    share = (FAINT if mark.faint else TINT) / 255 * cover[top : top + down, left : left + across, None]
    colour = np.array(pictures.rgb(pictures.of_class(mark.number)), np.float32)
    window[:] = (window + share * (colour - window)).astype(np.uint8)
    inside = (cover >= min(128, int(cover.max(initial=1)))).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    edge = pictures.rgb(pictures.ERROR if mark.error else pictures.of_class(mark.number))
    cv2.drawContours(canvas, contours, -1, edge, 1 if mark.faint else 2, cv2.LINE_AA)
    return left, top, across, down


def _name(picture: Image.Image, mark: Mark, box: tuple[int, int, int, int]) -> None:
    """Write a mark's name on a chip at its upper left corner; errors have their sign even where a name has no room."""
    left, top, width, _ = box
    named = width >= LABELLED_FROM
    text = f"{mark.error} {mark.text}".strip() if named else mark.error
    if not text:
        return
    font = ImageFont.load_default(FONT_SIZE if named else SIGN_SIZE)
    draw = ImageDraw.Draw(picture)
    right, bottom = (int(side) for side in draw.textbbox((0, 0), text, font=font)[2:])
    x = max(0, min(left, picture.width - right - 6))
    y = max(0, min(top - bottom - 4, picture.height - bottom - 4))
    colour = pictures.rgb(pictures.ERROR if mark.error else pictures.of_class(mark.number))
    chip = tuple(int(side * 0.72) for side in colour)
    draw.rounded_rectangle((x, y, x + right + 6, y + bottom + 4), 3, fill=chip)
    draw.text((x + 3, y + 1), text, fill=(255, 255, 255), font=font)
