"""The files of one predicted picture: its drawing, crops, masks, BDD's bitmask, and the picture itself for VIA."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from simplejpeg import encode_jpeg

from pipeline.evaluation.detections import Detection
from pipeline.formats import bitmasks
from pipeline.prediction.picture import Picture, Pixels
from pipeline.prediction.prediction import Prediction
from pipeline.recipe.categories import DETECTION, canonical

WIDEST = 1280
"""Pixels of the longer side of a drawing."""
PICTURES, OVERLAYS, CROPS, MASKS, BITMASKS = "pictures", "overlays", "crops", "masks", "bitmasks"
FOLDERS = (PICTURES, OVERLAYS, CROPS, MASKS, BITMASKS)


def write(prediction: Prediction, out: Path, folders: Sequence[str]) -> None:
    """Write the files of a picture into those folders of `out` that are asked for; all exist."""
    stem = prediction.picture.stem
    for folder in folders:
        match folder:
            case "pictures":
                _put_picture(prediction.picture, out / PICTURES / prediction.picture.name)
            case "overlays":
                _write(out / OVERLAYS / f"{stem}.jpg", _jpeg(np.asarray(_smaller(prediction).plot())))
            case "bitmasks":
                _write(out / BITMASKS / f"{stem}.png", _png(bitmask(prediction)))
            case "crops" | "masks":
                _write_instances(prediction, out / folder, stem)


def make_folders(out: Path, save: Sequence[str]) -> list[str]:
    """Make the folders for what is to be saved; return their names."""
    folders = [PICTURES] if "via" in save else []
    folders += [folder for folder in FOLDERS if folder in save]
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    return folders


def take_over(picture: Picture, earlier: Path, out: Path, folders: Sequence[str]) -> None:
    """Put the files of a picture that were written before, those of the stage, into `out`."""
    for folder in folders:
        if folder == PICTURES:
            _put(earlier / folder / picture.name, out / folder / picture.name)
        elif folder == OVERLAYS:
            drawn = (earlier / folder / f"{stem}.jpg" for stem in (picture.stem, picture.bare_stem, picture.name))
            _put(next(filter(Path.exists, drawn)), out / folder / f"{picture.stem}.jpg")


def bitmask(prediction: Prediction) -> Pixels:
    """Return BDD's bitmask, [height, width, 4] uint8; of overlapping instances the one of the higher score is on top.

    Classes that are none of BDD's detection categories are left out. At most 65,535 instances.
    """
    pixels = np.zeros((*prediction.pixels.shape[:2], 4), np.uint8)
    for number, each in reversed(list(enumerate(prediction.detections, 1))):
        if (word := canonical(each.category)) in DETECTION:
            inside, (left, top) = each.rle.crop()
            window = pixels[top : top + inside.shape[0], left : left + inside.shape[1]]
            window[inside] = bitmasks.rgba(DETECTION.index(word) + 1, 0, number)
    return pixels


def _put_picture(picture: Picture, path: Path) -> None:
    if picture.moment:  # a frame has no file of its own
        _write(path, picture.read())
    else:
        _put(picture, path)


def _put(source: Path | Picture, path: Path) -> None:
    """Put a file at `path`: as a hard link where that is possible, else as a copy."""
    path.unlink(missing_ok=True)
    try:
        os.link(source if isinstance(source, Path) else source.where, path)
    except OSError:  # a member of an archive, another file system, or one without links
        _write(path, source.read_bytes() if isinstance(source, Path) else source.read())


def _write_instances(prediction: Prediction, folder: Path, stem: str) -> None:
    """Write a file an instance: the part of the picture in the mask's box (crops), or the mask (masks)."""
    for number, each in enumerate(prediction.detections, 1):
        name = f"{stem}_{number:03d}_{each.category.replace('/', '_')}"
        if folder.name == MASKS:
            _write(folder / f"{name}.png", _png(each.rle.pixels().astype(np.uint8) * 255))
        else:
            _write(folder / f"{name}.jpg", _jpeg(_crop(prediction.pixels, each)))


def _crop(pixels: Pixels, detection: Detection) -> Pixels:
    inside, (left, top) = detection.rle.crop()
    return pixels[top : top + max(1, inside.shape[0]), left : left + max(1, inside.shape[1])]


def _smaller(prediction: Prediction) -> Prediction:
    """Return the prediction with a picture of at most `WIDEST` pixels a side; masks are scaled when they are drawn."""
    import cv2

    height, width = prediction.pixels.shape[:2]
    scale = WIDEST / max(height, width)
    if scale >= 1:
        return prediction
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(prediction.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Prediction(prediction.picture, small, prediction.detections, prediction.class_names)


def _jpeg(pixels: Pixels) -> bytes:
    """Return a JPEG, made in half of the time that Pillow takes for a small one."""
    return encode_jpeg(np.ascontiguousarray(pixels), quality=85, colorspace="RGB", colorsubsampling="420", fastdct=True)


def _png(pixels: Pixels) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; it is not synced, which would take longer than to draw it."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
