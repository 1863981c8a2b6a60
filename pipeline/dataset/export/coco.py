"""COCO's instances files, as pycocotools reads them: `annotations/instances_<split>.json`."""

from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes import polygons
from mrcnn.shapes.rle import decompress, encode_box
from pipeline.dataset.export.exported import Count, Exported, Picture, instances_inside
from pipeline.dataset.export.json_lists import as_json, write_list
from pipeline.dataset.export.outlines import joined, plain_rings, signed_area
from pipeline.geometry.polygon import Ring
from pipeline.labels.classes import Instance
from pipeline.running.progress import Progress

DECIMALS = 3
"""Of a pixel; those that VIA files have."""


def write(exported: Exported, folder: Path, _: Path, bar: Progress) -> None:
    """Write a file for each split; ids of images and annotations run on from one split to the next, categories from 1.

    An instance has a polygon for each of its rings. Crowds and regions to ignore are `iscrowd`, of which pycocotools
    expects run lengths; the latter are `ignore`, too.
    """
    (folder / "annotations").mkdir()
    image_ids, annotation_ids = count(1), count(1)
    classes = {name: number for number, name in enumerate(exported.classes, 1)}
    for split, pictures in exported.splits.items():
        numbered = [(next(image_ids), picture) for picture in pictures]
        with (folder / "annotations" / f"instances_{split}.json").open("wb") as file:
            info = {"description": f"{split} of {exported.archive.name}"}
            file.write(b'{"info": ' + as_json(info) + b', "licenses": [],\n"categories": ')
            write_list(file, ({"id": number, "name": name} for name, number in classes.items()))
            file.write(b',\n"images": ')
            write_list(file, (_image(number, picture) for number, picture in numbered))
            file.write(b',\n"annotations": ')
            annotations = chain.from_iterable(_annotations(exported, classes, *each) for each in bar.over(numbered))
            write_list(file, ({"id": next(annotation_ids), **each} for each in annotations))
            file.write(b"}\n")


def _image(number: int, picture: Picture) -> dict[str, Any]:
    sides = {"width": picture.record.width, "height": picture.record.height}
    return {"id": number, "file_name": picture.name, **sides}


def _annotations(
    exported: Exported, classes: dict[str, int], number: int, picture: Picture
) -> Iterator[dict[str, Any]]:
    """Yield the annotations of a picture, without their ids."""
    height, width = picture.record.height, picture.record.width
    for instance, rings in instances_inside(picture, exported.counts):
        is_region = instance.crowd or instance.ignored
        exported.counts[Count.REGIONS] += is_region
        exported.count(instance)
        yield {
            "image_id": number,
            "category_id": classes[instance.category],
            **(_region if is_region else _object)(rings, height, width),
            **_described(instance),
        }


def _region(rings: Sequence[Ring], height: int, width: int) -> dict[str, Any]:
    """Return the mask of a crowd or of a region to ignore, as run lengths that are not compressed."""
    mask = polygons.mask(rings, height, width)
    top, left, bottom, right = box = polygons.pixel_box(rings, (0, 0, height, width))
    counts = decompress(encode_box(mask[top:bottom, left:right], box, mask.shape)["counts"])
    return {
        "segmentation": {"size": [height, width], "counts": counts.tolist()},
        "area": int(np.count_nonzero(mask)),
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": 1,
    }


def _object(rings: Sequence[Ring], height: int, width: int) -> dict[str, Any]:
    outlines = [joined(plain_rings([ring], height, width)) for ring in rings]
    whole = outlines[0] if len(rings) == 1 else joined(plain_rings(rings, height, width))
    (left, top), (right, bottom) = whole.min(axis=0), whole.max(axis=0)
    return {
        "segmentation": [_rounded(outline) for outline in outlines],
        "area": round(abs(signed_area(whole)), DECIMALS),
        "bbox": _rounded(np.array([left, top, right - left, bottom - top])),
        "iscrowd": 0,
    }


def _rounded(numbers: NDArray[np.float64]) -> list[float]:
    return [round(number, DECIMALS) for number in numbers.ravel().tolist()]


def _described(instance: Instance[Ring]) -> dict[str, Any]:
    """Return what an annotation says besides class and mask; flags stand among the attributes, as CVAT has them."""
    flags = {flag: holds for flag, holds in instance.flags.items() if flag in ("occluded", "truncated")}
    attributes = instance.attributes | flags
    return ({"ignore": 1} if instance.ignored else {}) | ({"attributes": attributes} if attributes else {})
