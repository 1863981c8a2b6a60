"""BDD's bitmasks: one PNG for each image, whose pixels hold category, flags and instance; instances are traced.

Red is the category id (0: nothing), green the flags (truncated 8, occluded 4, crowd 2, ignored 1), blue and alpha are
the high and low byte of the instance id. Maps of drivable areas are grey, a value a class. Colour maps are no labels.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import NotLabelsError
from pipeline.files.image_header import BadImageError, read_header
from pipeline.formats.content import Content
from pipeline.formats.table_builder import Description, TableBuilder
from pipeline.geometry import masks
from pipeline.instances import reasons
from pipeline.instances.image_paths import SPLIT_FOLDERS
from pipeline.recipe.categories import DETECTION, PANOPTIC

PANOPTIC_FOLDER = "pan_seg"
FOLDER = "bitmasks"

TRUNCATED, OCCLUDED, CROWD, IGNORED = 8, 4, 2, 1

DRIVABLE_2018, DRIVABLE_2020 = {1: "direct", 2: "alternative"}, {0: "direct", 1: "alternative"}
"""Classes of maps of drivable areas by their grey; the third value is the background."""
MAP_ENDING, MAP_FOLDERS = "_drivable_id.png", ("drivable", "masks")
"""What maps of 2018 are called, and the folders in which those of 2020 lie."""

Pixels = NDArray[np.uint32]
"""[height, width] uint32: red, green, blue and alpha from the highest byte to the lowest."""


def add(builder: TableBuilder, file: int, content: Content, path: Path, member: str | None) -> None:
    """Add the instances of a bitmask, or the areas of a map, to the image of the same name; holes are lost.

    Geometry is `bitmask`. Category ids are those of the detection classes, under a folder `pan_seg` those of panoptic
    segmentation. An instance id with several categories or flags gives several labels. Raises NotLabelsError for a file
    that is no sound RGBA PNG (a map: grey), or has panoptic ids outside such a folder.
    """
    parts = PurePosixPath(path, member or "").parts
    if classes := classes_of_map(parts):
        _add_map(builder, file, content, parts, classes)
        return
    pixels = _pixels(content)
    words = _words(pixels, PANOPTIC_FOLDER in parts, content.name)
    source_labels: list[dict[str, int]] = []
    builder.add_image(file, parts[-1], lambda: source_labels, _video(parts))
    builder.set_image_size((pixels.shape[1], pixels.shape[0]))
    for value, corner, mask in _segments(pixels):
        category_id, flags, label_id = value >> 24, value >> 16 & 0xFF, str(value & 0xFFFF)
        source_labels.append({"category_id": category_id, "flags": flags, "pixels": int(mask.sum())})
        description = _description(words.get(category_id), flags)
        if description.category is None:
            builder.reject(label_id, reasons.CATEGORY_UNKNOWN, description)
        else:
            builder.add_rings(label_id, description, [ring + corner for ring in masks.trace(mask)], "bitmask")


def rgba(category_id: int, flags: int, label_id: int) -> tuple[int, int, int, int]:
    """Return the four values of an instance's pixels."""
    return category_id, flags, label_id >> 8, label_id & 0xFF


def classes_of_map(parts: Sequence[str]) -> dict[int, str]:
    """Return the classes of a map of drivable areas by their grey; none where a path is not that of one."""
    if parts[-1].endswith(MAP_ENDING):
        return DRIVABLE_2018
    return DRIVABLE_2020 if MAP_FOLDERS in pairwise(parts[:-1]) else {}


def _add_map(
    builder: TableBuilder, file: int, content: Content, parts: Sequence[str], classes: Mapping[int, str]
) -> None:
    """Add each area of a map that hangs together; raises NotLabelsError for a file that is no sound grey PNG."""
    mode, grey = _decoded(content)
    if mode not in ("L", "P") or grey.ndim != 2:
        raise NotLabelsError(f"{content.name}: holds no labels: a map of drivable areas is grey, this is {mode}")
    areas = [(word, ring) for value, word in classes.items() for ring in masks.trace(grey == value)]
    source_labels = [{"category": word} for word, _ in areas]
    builder.add_image(file, parts[-1].removesuffix(MAP_ENDING), lambda: source_labels)
    builder.set_image_size((grey.shape[1], grey.shape[0]))
    for number, (word, ring) in enumerate(areas):
        builder.add_rings(str(number), Description(word), [ring], "bitmask")


def _pixels(content: Content) -> Pixels:
    """Return the pixels of a PNG; alpha is data, and is not multiplied with the colours."""
    mode, rgba = _decoded(content)
    if mode != "RGBA" or rgba.dtype != np.uint8:
        raise NotLabelsError(
            f"{content.name}: holds no labels: a bitmask has red, green, blue and alpha, this is {mode}"
        )
    return np.ascontiguousarray(rgba).view(">u4")[..., 0].astype(np.uint32)


def _decoded(content: Content) -> tuple[str, NDArray[Any]]:
    """Return the mode of a PNG and its pixels; raises NotLabelsError for one that is not sound."""
    source, data = content.name, bytes(content.data)
    try:
        read_header(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about chunks that don't concern the pixels
            image = Image.open(BytesIO(data), formats=("PNG",))
            return image.mode, np.asarray(image)
    except BadImageError as error:
        raise NotLabelsError(f"{source}: holds no labels: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise NotLabelsError(f"{source}: holds no labels: a damaged PNG ({error})") from None


def _words(pixels: Pixels, panoptic: bool, source: str) -> dict[int, str]:
    """Return the category of each id; raises NotLabelsError where the ids are those of the other list."""
    if not panoptic and int(pixels.max()) >> 24 > len(DETECTION):
        raise NotLabelsError(
            f"{source}: holds no labels: category ids over {len(DETECTION)} are those of panoptic segmentation, whose "
            f"bitmasks must lie in a folder called {PANOPTIC_FOLDER}"
        )
    return dict(enumerate(PANOPTIC if panoptic else DETECTION, 1))


def _segments(pixels: Pixels) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.bool_]]]:
    """Yield each value whose category isn't 0, the corner (x, y) of its pixels' box, and which of the box they are."""
    width = pixels.shape[1]
    flat = pixels.ravel()
    labelled = np.flatnonzero(flat >> 24)
    order = labelled[np.argsort(flat[labelled], kind="stable")]
    values, starts = np.unique(flat[order], return_index=True)
    for value, places in zip(values.tolist(), np.split(order, starts[1:]), strict=True) if len(values) else ():
        y, x = np.divmod(places, width)
        top, left = int(y[0]), int(x.min())
        mask = np.zeros((int(y[-1]) - top + 1, int(x.max()) - left + 1), np.bool_)
        mask[y - top, x - left] = True
        yield value, np.array((left, top)), mask


def _description(word: str | None, flags: int) -> Description:
    return Description(
        word,
        crowd=bool(flags & CROWD),
        ignored=bool(flags & IGNORED),
        occluded=bool(flags & OCCLUDED),
        truncated=bool(flags & TRUNCATED),
    )


def _video(parts: tuple[str, ...]) -> str | None:
    """Return the folder of a frame, where it is a video: those of seg_track are, others are train/ and val/."""
    folder = parts[-2] if len(parts) > 1 else ""
    inside = FOLDER in parts[:-2]
    return folder if inside and folder.lower() not in SPLIT_FOLDERS else None
