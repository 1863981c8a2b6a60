"""Label files read to rows: what the raw tables say of each image, for tests to look at."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import LabelFileError
from pipeline.formats import LabelReader
from pipeline.formats.table_builder import Tables


@dataclass(frozen=True)
class Label:
    """A row of labels.parquet."""

    id: str
    category: str | None
    kind: str | None
    rings: list[np.ndarray]
    box: tuple[float, float, float, float]
    """Left, top, width, height."""
    geometry: str
    crowd: bool
    ignored: bool
    occluded: bool | None
    truncated: bool | None
    attributes: dict[str, Any]
    part_of: str | None
    mask_size: tuple[int | None, int | None]


@dataclass(frozen=True)
class Rejected:
    """A row of rejected.parquet."""

    image: str
    id: str
    reason: str
    label: Any
    """What the label is, from its JSON."""
    category: str | None
    kind: str | None
    attributes: str | None


@dataclass(frozen=True)
class Image:
    """A row of images.parquet, and those of the others that are of it."""

    name: str
    video: str | None
    size: tuple[int | None, int | None]
    attributes: dict[str, Any]
    labels: list[Label]
    rejected: list[Rejected]


def tables_of(path: Path, member: str | None = None, processes: int = 1, **options: Any) -> list[Tables]:
    """What a label file says, as tables; COCO files are read, too."""
    found: list[Tables] = []
    with LabelReader(found.append, processes=processes, **{"coco": True, **options}) as reader:
        reader.read(0, path, member, f"{path.name}/{member}" if member else path.name)
    return found


def images_of(path: Path, member: str | None = None, **options: Any) -> list[Image]:
    """What a label file says, image by image."""
    return [image for tables in tables_of(path, member, **options) for image in _images(tables)]


def read(folder: Path, content: Any, **options: Any) -> list[Image]:
    """Write `content` (bytes, or what JSON can say) as a label file, and read it."""
    file = folder / "labels.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return images_of(file, **options)


def only(folder: Path, content: Any, **options: Any) -> Any:
    """The one label or rejected label of a file of one."""
    (image,) = read(folder, content, **options)
    (found,) = [*image.labels, *image.rejected]
    return found


def read_label(folder: Path, label: Any, **options: Any) -> Any:
    """Read a file of one frame with one label: the label, or why not."""
    return only(folder, [{"name": "a.jpg", "labels": [label]}], **options)


def read_or_refused(folder: Path, content: Any) -> list[Image]:
    """The images of a file; none where it is refused, which its error must say by the file's name."""
    try:
        return read(folder, content)
    except LabelFileError as error:
        if not str(error).startswith("labels.json: "):
            raise
        return []


def count_labels(images: list[Image]) -> int:
    """How many labels were read or rejected."""
    return sum(len(image.labels) + len(image.rejected) for image in images)


def _images(tables: Tables) -> Iterator[Image]:
    images, labels, rejected = (table.to_pylist() for table in tables)
    assert [row["image"] for row in labels] == sorted(row["image"] for row in labels)
    assert [row["row"] for row in rejected] == sorted(row["row"] for row in rejected)
    for at, row in enumerate(images):
        ids = [label["label_id"] for label in labels if label["image"] == at]
        assert len(set(ids)) == len(ids)
        yield Image(
            row["name"],
            row["video"],
            (row["width"], row["height"]),
            json.loads(row["attributes"]),
            [_label(label) for label in labels if label["image"] == at],
            [_rejected(each) for each in rejected if each["row"] == at],
        )


def _label(row: dict[str, Any]) -> Label:
    rings = [np.array([(point["x"], point["y"]) for point in ring], float) for ring in row["polygons"]]
    same = ("category", "kind", "geometry", "crowd", "ignored", "occluded", "truncated", "part_of")
    return Label(
        id=row["label_id"],
        rings=rings,
        box=tuple(row["box"].values()),
        attributes=json.loads(row["attributes"]),
        mask_size=(row["mask_width"], row["mask_height"]),
        **{name: row[name] for name in same},
    )


def _rejected(row: dict[str, Any]) -> Rejected:
    same = ("image", "reason", "category", "kind", "attributes")
    return Rejected(id=row["label_id"], label=json.loads(row["label"]), **{name: row[name] for name in same})


def together(found: list[Tables]) -> Tables:
    """All tables as one of each kind, their rows of images counted on."""
    images, labels, rejected = (pa.concat_tables(tables) for tables in zip(*found, strict=True))
    firsts = np.cumsum([0, *(tables.images.num_rows for tables in found)]).tolist()
    parts = list(zip(firsts, found, strict=False))
    rows = [first + row for first, tables in parts for row in tables.labels["image"].to_pylist()]
    rejected_rows = [first + row for first, tables in parts for row in tables.rejected["row"].to_pylist()]
    return Tables(
        images,
        labels.set_column(0, "image", pa.array(rows, pa.int64())),
        rejected.set_column(rejected.column_names.index("row"), "row", pa.array(rejected_rows, pa.int64())),
    )
