"""Pictures of what is labelled beside what was detected, and which images are worth showing."""

# ruff: noqa: TID253 - nothing imports this module before a report is made

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from pipeline import pictures
from pipeline.dataset.images_zip import ImagesZip
from pipeline.evaluation import detections
from pipeline.evaluation.detections import JudgedImage, Rle
from pipeline.evaluation.judgement import Judgement, Quality, quality
from pipeline.evaluation.scores import shown

TINT, FAINT = 0.36, 0.15
LABELLED_FROM = 34
"""An instance narrower than this many pixels of the picture is outlined only, so that its name doesn't hide it."""
FONT_SIZE, SIGN_SIZE = 13, 10
FALSE, MISSED = "x", "?"
"""Signs of an error, so that it is not shown by colour alone; the font that comes with Pillow has both."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """An image as labelled and as detected, each with its instances drawn over it."""

    image: str
    """Its name."""
    why: str
    """best | worst | random"""
    quality: Quality
    labelled: Image.Image
    detected: Image.Image


@dataclass(frozen=True)
class DrawnInstance:
    """An instance as it is drawn; `error` is "" or the character that stands on it: `FALSE` or `MISSED`."""

    colour: str
    """That of its class, as #rrggbb."""
    text: str
    mask: Rle
    error: str = ""
    faint: bool = False

    @property
    def edge(self) -> str:
        """The colour of its outline and its name."""
        return pictures.ERROR if self.error else self.colour


def draw(archive: ImagesZip, judgement: Judgement, count: int, seed: int, width: int) -> Iterator[Picture]:
    """Yield pictures of at most `count` images, `width` pixels wide: a third best, a third worst, others at random."""
    for image, why in choose(judgement, count, seed):
        pixels = archive.pixels(image.record)
        height = max(1, round(width * pixels.shape[0] / pixels.shape[1]))
        small = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        labelled, detected = _instances(judgement, image)
        both = drawn(small, labelled), drawn(small, detected)
        yield Picture(image.record.image, why, quality(judgement, image), *both)


def choose(judgement: Judgement, count: int, seed: int) -> list[tuple[JudgedImage, str]]:
    """Return the images that are shown, none twice, and why; images without anything are not."""
    scored = {
        position: quality(judgement, image).score
        for position, image in enumerate(judgement.images)
        if image.truth or shown(image, judgement.thresholds)
    }
    ranked = sorted(scored, key=lambda position: (-scored[position], position))
    count = min(count, len(ranked))
    best, worst = ranked[: -(-count // 3)], ranked[len(ranked) - count // 3 :]
    middle = [position for position in ranked if position not in {*best, *worst}]
    drawn = np.random.default_rng(seed).permutation(middle)[: count - len(best) - len(worst)].tolist()
    groups = {"best": best, "worst": worst[::-1], "random": sorted(drawn)}
    return [(judgement.images[position], why) for why, group in groups.items() for position in group]


def _instances(judgement: Judgement, image: JudgedImage) -> tuple[list[DrawnInstance], list[DrawnInstance]]:
    """Return the labelled and the detected instances of an image."""
    colours = {name: pictures.colour(number) for number, name in enumerate(judgement.categories)}
    truth_of = {k: image.truth_of[k] for k in shown(image, judgement.thresholds)}
    labelled = [
        DrawnInstance(
            colours[truth.category],
            truth.category + (" (ignored)" if truth.neutral else ""),
            truth.rle,
            "" if truth.neutral or number in truth_of.values() else MISSED,
            truth.neutral,
        )
        for number, truth in enumerate(image.truth)
    ]
    detected = [
        DrawnInstance(
            colours[detection.category],
            f"{detection.category} {detection.score:.2f}",
            detection.rle,
            FALSE if truth == detections.FALSE else "",
            truth == detections.IGNORED,
        )
        for detection, truth in ((image.detections[k], truth) for k, truth in truth_of.items())
    ]
    return labelled, detected


def drawn(pixels: Pixels, instances: Sequence[DrawnInstance]) -> Image.Image:
    """Return the picture with each instance tinted and outlined, large ones below small ones, and names over all."""
    canvas = pixels.copy()
    ordered = sorted(instances, key=lambda each: -each.mask.area)
    boxes = [_tint(canvas, instance) for instance in ordered]
    picture = Image.fromarray(canvas)
    for instance, box in zip(ordered, boxes, strict=True):
        _name(picture, instance, box)
    return picture


def _tint(canvas: Pixels, instance: DrawnInstance) -> tuple[int, int, int, int]:
    """Tint and outline a mask; return its box (left, top, width, height) in the picture."""
    inside, (left, top) = _covered(instance.mask, canvas.shape[1], canvas.shape[0])
    down, across = inside.shape
    if not inside.size:
        return left, top, across, down
    window = canvas[top : top + down, left : left + across]
    share = FAINT if instance.faint else TINT
    colour = [share * value for value in ImageColor.getrgb(instance.colour)]
    cv2.copyTo(cv2.add(cv2.convertScaleAbs(window, alpha=1 - share), (*colour, 0)), inside, window)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    cv2.drawContours(canvas, contours, -1, ImageColor.getrgb(instance.edge), 1 if instance.faint else 2, cv2.LINE_AA)
    return left, top, across, down


def _covered(mask: Rle, width: int, height: int) -> tuple[Pixels, tuple[int, int]]:
    """Return the pixels of a picture that a mask covers, [h, w] of 0 and 1 in their box, and the box's corner (x, y).

    Half of a pixel is enough; where no pixel is covered by half, it is those that are covered most.
    """
    if (mask.width, mask.height) == (width, height):
        inside, corner = mask.crop()
        return np.ascontiguousarray(inside, np.uint8), corner
    cover = cv2.resize(mask.pixels().astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    covered = np.asarray(cover >= min(128, int(cover.max(initial=1))), np.uint8)
    left, top, across, down = cv2.boundingRect(covered)
    return covered[top : top + down, left : left + across], (left, top)


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _name(picture: Image.Image, instance: DrawnInstance, box: tuple[int, int, int, int]) -> None:
    """Write an instance's name at its upper left corner; errors have their sign even where a name has no room."""
    left, top, width, _ = box
    named = width >= LABELLED_FROM
    text = f"{instance.error} {instance.text}".strip() if named else instance.error
    if not text:
        return
    font = _font(FONT_SIZE if named else SIGN_SIZE)
    draw = ImageDraw.Draw(picture)
    right, bottom = (int(side) for side in draw.textbbox((0, 0), text, font=font)[2:])
    x = max(0, min(left, picture.width - right - 6))
    y = max(0, min(top - bottom - 4, picture.height - bottom - 4))
    chip = tuple(int(side * 0.72) for side in ImageColor.getrgb(instance.edge))
    draw.rounded_rectangle((x, y, x + right + 6, y + bottom + 4), 3, fill=chip)
    draw.text((x + 3, y + 1), text, fill=(255, 255, 255), font=font)
