"""Label files read to what a recipe wants of them, instance by instance, before any image is known."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pipeline import recipe
from pipeline.geometry.polygon import Box
from pipeline.instances.tables import IMAGES_FILE, rings_in
from pipeline.labels.files import read_sources, read_table
from pipeline.labels.selection import Selection, select
from pipeline.recipe.sections import Labels
from pipeline.sources import raw_labels


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
        images = read_table(out / IMAGES_FILE)
        section = Labels.model_construct(**{"categories": [], **labels})
        return select(out, images, read_sources(out), section), images.to_pylist()


def images_of(file: Path, **labels: Any) -> list[Image]:
    """What a file says of each image, as far as a recipe wants it (default: all categories)."""
    selection, rows = selected(file, **labels)
    unread = selection.rejected
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
