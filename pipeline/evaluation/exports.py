"""Detections as files for others: a Parquet table of all, and a VIA file of those worth showing, to be corrected.

COCO's files are made in `pipeline.evaluation.coco`; files of labels, not of detections, in `pipeline.via`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.evaluation.detections import Detection, JudgedImage, Rle
from pipeline.evaluation.judgement import Judgement
from pipeline.files.atomic import whole_file, write_json
from pipeline.geometry.polygon import Ring

BOX = pa.struct([(side, pa.float64()) for side in ("x", "y", "width", "height")])
RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("category", pa.string()),
        ("score", pa.float64()),
        ("box", BOX),
        ("rle", RLE),
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
    rows = [_row(image, detection) for image in images for detection in image.detections]
    with whole_file(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd", version="2.6")


def _row(image: JudgedImage, detection: Detection) -> dict[str, Any]:
    box, mask = detection.box, detection.rle
    return {
        "image": image.record.image,
        "category": detection.category,
        "score": detection.score,
        "box": {"x": box.x, "y": box.y, "width": box.width, "height": box.height},
        "rle": {"size": [mask.height, mask.width], "counts": mask.counts},
        "area": detection.area,
    }


def write_via(judgement: Judgement, path: Path) -> None:
    """Write the detections that reach their thresholds as VIA 1 metadata: polygons with name, score and instance."""
    entries = {}
    for image in judgement.images:
        record = image.record
        regions = [
            region for k in judgement.shown(image) for region in _regions(image.detections[k], f"detection {k + 1}")
        ]
        entries[f"{record.image}{record.size}"] = {
            "filename": record.image,
            "size": record.size,
            "width": record.width,
            "height": record.height,
            "file_attributes": {},
            "regions": {str(number): region for number, region in enumerate(regions)},
        }
    write_json(path, entries)


def _regions(detection: Detection, instance: str) -> Iterator[dict[str, Any]]:
    attributes = {"name": detection.category, "score": f"{detection.score:.3f}", "instance": instance}
    for ring in outlines(detection.rle):
        xs, ys = ring.T.astype(int).tolist()
        shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
        yield {"shape_attributes": shape, "region_attributes": attributes}


def outlines(mask: Rle) -> list[Ring]:
    """Return the smoothed outlines of a mask's parts, [K, 2] (x, y) whole pixels, without the crumbs."""
    import cv2

    from pipeline.geometry import masks

    box = mask.box
    left, top, right, bottom = int(box.x), int(box.y), int(box.x + box.width), int(box.y + box.height)
    corner, inside = np.array([left, top]), mask.pixels()[top:bottom, left:right]
    traced = [(ring + corner).astype(np.int32) for ring in masks.trace(inside)]
    least = LEAST_PART * sum(float(cv2.contourArea(ring)) for ring in traced)
    smooth = [
        cv2.approxPolyDP(ring, SMOOTHING, closed=True).reshape(-1, 2)
        for ring in traced
        if cv2.contourArea(ring) >= least
    ]
    return [ring.astype(np.float64) for ring in smooth if len(ring) > 2]
