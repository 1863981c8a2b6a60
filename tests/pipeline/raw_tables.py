"""Small tables of `raw_labels` and `raw_images`, and the labels that a recipe selects from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import recipe
from pipeline.geometry.polygon import Box, Ring
from pipeline.instances.image_paths import split_of
from pipeline.instances.tables import (
    IMAGES_FILE,
    LABELS_FILE,
    RAW_IMAGES,
    RAW_LABELS,
    RAW_REJECTED,
    REJECTED_FILE,
    SCHEMA,
    read_table,
    rings_in,
    write_table,
)
from pipeline.labels.selection import Selection, select
from pipeline.recipe.sections import Labels
from pipeline.sources import raw_labels
from pipeline.sources.image_index import INDEX
from pipeline.sources.label_files import read_sources

Row = dict[str, Any]

WIDTH, HEIGHT = 64, 48


def bounds(rings: Sequence[Ring]) -> Box:
    """Return the box around one or more rings."""
    points = rings[0] if len(rings) == 1 else np.concatenate(rings)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Box(left, top, right - left, bottom - top)


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
        {"source": f"{number}.json", "files": [{"path": f"/labels/{number}.json", "name": f"{number}.json"}]}
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


def index_of(*paths: str, source: str = "/data/images.zip", digest: str = "bytes of {path}") -> pa.Table:
    """Return the index of images in these paths; their folders give the split, their bytes all differ."""
    columns = {
        "image": [path.replace("/", "__") for path in paths],
        "source": [source] * len(paths),
        "path": paths,
        "split": pa.array([split_of(path.split("/")[:-1]) for path in paths], pa.string()),
        "sha256": [digest.format(path=path) for path in paths],
    }
    return pa.table(columns)


def write_raw_images(folder: Path, names: Sequence[str]) -> Path:
    """Write the index of images of `WIDTH` by `HEIGHT` pixels, each of other bytes, which lie nowhere."""
    folder.mkdir(parents=True)
    rows = [
        {"image": name, "source": "/images", "path": name, "width": WIDTH, "height": HEIGHT, "sha256": name}
        for name in sorted(names)
    ]
    write_table(folder / INDEX, pa.Table.from_pylist(rows, SCHEMA))
    return folder


@dataclass(frozen=True)
class Wanted:
    """A label that is wanted; `reason` says why it can't be used, if it can't."""

    id: str
    category: str
    rings: tuple[np.ndarray, ...]
    box: Box
    geometry: str
    crowd: bool = False
    ignored: bool = False
    occluded: bool | None = None
    truncated: bool | None = None
    attributes: Any = None
    source_category: str = ""
    """The file's own word."""
    reason: str = ""


@dataclass(frozen=True)
class Image:
    """What a file says of an image."""

    name: str
    attributes: dict[str, Any]
    instances: list[Wanted]
    rejected: list[Any]
    """Labels that can't be used, and those that couldn't be read."""
    unwanted: int
    """Labels of other categories in the whole file."""


def selected(file: Path, **labels: Any) -> tuple[Selection, list[dict[str, Any]]]:
    """What of a file is wanted, and the rows of its images."""
    with TemporaryDirectory() as name:
        out = Path(name)
        made = recipe.parse({"source": {"images": ["nowhere"], "labels": [str(file)]}, "labels": {"coco": True}})
        raw_labels.build(made, out, out / "downloads")
        images = read_table(out / IMAGES_FILE, "raw_labels")
        section = Labels.model_construct(**{"categories": [], **labels})
        return select(out, images, read_sources(out), section), images.to_pylist()


def images_of(file: Path, **labels: Any) -> list[Image]:
    """What a file says of each image, as far as a recipe wants it (default: all categories)."""
    selection, rows = selected(file, **labels)
    unread = selection.unread
    images = [
        Image(row["name"], json.loads(row["attributes"]), [], list(unread.get(number, ())), selection.unwanted.total())
        for number, row in enumerate(rows)
    ]
    rings, each = rings_in(selection.labels["polygons"].combine_chunks())
    separate = iter(rings.separate())
    for row, count, reason in zip(selection.labels.to_pylist(), each.tolist(), selection.reasons, strict=True):
        same = ("category", "source_category", "geometry", "crowd", "ignored", "occluded", "truncated")
        label = Wanted(
            id=row["instance_id"],
            rings=tuple(next(separate) for _ in range(count)),
            box=Box(**row["box"]),
            attributes=json.loads(row["attributes"]),
            reason=reason,
            **{name: row[name] for name in same},
        )
        image = images[row["image"]]
        (image.rejected if reason else image.instances).append(label)
    return images


def read(folder: Path, content: Any, **labels: Any) -> list[Image]:
    """Write `content` as a label file, and read it."""
    file = folder / "labels.json"
    file.write_text(json.dumps(content))
    return images_of(file, **labels)


def only(folder: Path, content: Any, **labels: Any) -> Any:
    """The one label of a file of one."""
    (image,) = read(folder, content, **labels)
    (found,) = [*image.instances, *image.rejected]
    return found
