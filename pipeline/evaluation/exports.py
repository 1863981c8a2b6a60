"""Detections as files for others: a Parquet table of all, and a VIA file of those worth showing, to be corrected."""

# ruff: noqa: TID253 - nothing imports this module before a model is judged

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.evaluation.detections import Detection, JudgedImage, Rle
from pipeline.evaluation.judgement import Judgement
from pipeline.evaluation.scores import shown
from pipeline.files.atomic import whole_file
from pipeline.formats.via.writing import Entry, region_data_file
from pipeline.geometry import masks
from pipeline.geometry.polygon import Ring
from pipeline.instances.tables import BOX

SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("category", pa.string()),
        ("score", pa.float64()),
        ("box", BOX),
        ("rle", pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])),
        ("area", pa.int64()),
    ]
)
"""A row a detection: its box in pixels, its mask in COCO's compressed run lengths, the mask's pixels."""

SMOOTHING = 1.0
"""Pixels by which an outline may leave the mask's border, so that it has few enough corners to be moved by hand."""
LEAST_PART = 0.02
"""Parts of a mask smaller than this share of it are not drawn."""


def write_parquet(images: Sequence[JudgedImage], path: Path) -> None:
    """Write a row for each detection, by image, then by falling score."""
    rows = [
        {
            "image": image.record.image,
            "category": each.category,
            "score": each.score,
            "box": vars(each.box),
            "rle": each.rle.coco,
            "area": each.rle.area,
        }
        for image in images
        for each in image.detections
    ]
    with whole_file(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd", version="2.6")


def write_via(judgement: Judgement, path: Path) -> None:
    """Write the detections that reach their thresholds as VIA 1 metadata: polygons with name, score and instance."""
    with region_data_file(path) as append:
        for image in judgement.images:
            record = image.record
            kept = ((f"detection {k + 1}", image.detections[k]) for k in shown(image, judgement.thresholds))
            regions = [region for name, detection in kept for region in via_regions(detection, name)]
            append(Entry(record.image, record.size, record.width, record.height, {}, regions))


def via_regions(detection: Detection, instance: str) -> Iterator[dict[str, Any]]:
    """Yield a region of VIA for each part of a detection's mask; they share the attribute `instance`."""
    attributes = {"name": detection.category, "score": f"{detection.score:.3f}", "instance": instance}
    for ring in outlines(detection.rle):
        xs, ys = ring.T.astype(int).tolist()
        shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
        yield {"shape_attributes": shape, "region_attributes": attributes}


def outlines(mask: Rle) -> list[Ring]:
    """Return the smoothed outlines of a mask's parts, [K, 2] (x, y) whole pixels, without the smallest parts."""
    inside, corner = mask.crop()
    traced = [(ring + np.array(corner)).astype(np.int32) for ring in masks.trace(inside)]
    areas = [float(cv2.contourArea(ring)) for ring in traced]
    kept = [ring for ring, area in zip(traced, areas, strict=True) if area >= LEAST_PART * sum(areas)]
    smooth = [cv2.approxPolyDP(ring, SMOOTHING, closed=True).reshape(-1, 2) for ring in kept]
    return [ring.astype(np.float64) for ring in smooth if len(ring) > 2]
