"""Tables as `raw_labels` writes them, made of a few rows: labels that nobody has to read from a file first."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.instances.tables import (
    IMAGES_FILE,
    LABELS_FILE,
    RAW_IMAGES,
    RAW_LABELS,
    RAW_REJECTED,
    REJECTED_FILE,
    SCHEMA,
    write_table,
)
from pipeline.sources.image_index import INDEX

Row = dict[str, Any]

WIDTH, HEIGHT = 64, 48


def ring_label(ring: Sequence[tuple[float, float]], category: str | None = "car", **more: Any) -> Row:
    """Return a label of one ring."""
    (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*ring, strict=True))
    plain = {"label_id": "1", "geometry": "polygon", "crowd": False, "ignored": False, "attributes": "{}"}
    box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {**plain, "category": category, "polygons": [[{"x": x, "y": y} for x, y in ring]], "box": box, **more}


def box_label(left: float, top: float, right: float, bottom: float, category: str = "car", **more: Any) -> Row:
    """Return a label that is a box."""
    ring = [(left, top), (left, bottom), (right, bottom), (right, top)]
    return ring_label(ring, category, **{"geometry": "box", **more})


def region(given: Mapping[str, Any], left: float = 1, **more: Any) -> Row:
    """Return a VIA region, ten pixels wide."""
    ring = [(left, 1.0), (left + 10, 1.0), (left + 10, 11.0), (left, 11.0)]
    return ring_label(ring, None, **{"attributes": json.dumps(given), "part_of": given.get("instance"), **more})


def write_raw_labels(folder: Path, *sources: Sequence[tuple[str, Sequence[Row]]], rejected: Sequence[Row] = ()) -> Path:
    """Write the folder of `raw_labels`: of each source, a file `<number>.json`, its images and their labels."""
    folder.mkdir(parents=True)
    images: list[Row] = []
    labels: list[Row] = []
    for number, source in enumerate(sources):
        for name, its in source:
            labels += [{"image": len(images), **label} for label in its]
            images.append({"source": number, "file_index": 0, "name": name, "attributes": "{}"})
    listed = [
        {"source": f"{number}.json", "files": [{"path": f"/labels/{number}.json", "member": None}]}
        for number in range(len(sources))
    ]
    (folder / "sources.json").write_text(json.dumps({"sources": listed}))
    tables = (
        (IMAGES_FILE, images, RAW_IMAGES),
        (LABELS_FILE, labels, RAW_LABELS),
        (REJECTED_FILE, rejected, RAW_REJECTED),
    )
    for name, rows, schema in tables:
        write_table(folder / name, pa.Table.from_pylist(list(rows), schema))
    return folder


def write_raw_images(folder: Path, names: Sequence[str]) -> Path:
    """Write the index of images of `WIDTH` by `HEIGHT` pixels, each of other bytes, which lie nowhere."""
    folder.mkdir(parents=True)
    rows = [
        {"image": name, "source": "/images", "path": name, "width": WIDTH, "height": HEIGHT, "sha256": name}
        for name in sorted(names)
    ]
    write_table(folder / INDEX, pa.Table.from_pylist(rows, SCHEMA))
    return folder
