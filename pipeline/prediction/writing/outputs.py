"""The files of a whole run, written from its parts: tables, COCO's results, projects of VIA."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.files.atomic import whole_file
from pipeline.formats.via import writing
from pipeline.formats.via.writing import Declarations, Entry, as_address
from pipeline.instances.tables import REJECTED, REJECTED_FILE
from pipeline.prediction.writing.parts import (
    DETECTIONS,
    DETECTIONS_FILE,
    IMAGES,
    IMAGES_FILE,
    OF_DETECTION,
    OF_IMAGE,
    Parts,
    detections_of,
)

COCO_FILE, COCO_IMAGES_FILE = "coco_detections.json", "coco_images.json"

Append = Callable[[pa.Table], None]
"""Appends a part to a file."""


@dataclass
class Totals:
    """How many pictures could be used, and not, and how many detections of each class there are."""

    pictures: int = 0
    rejected: int = 0
    classes: Counter[str] = field(default_factory=Counter)


def write(predicted: Parts, out: Path, class_names: Sequence[str], forms: Sequence[str], pictures: str) -> Totals:
    """Write detections.parquet, images.parquet and rejected.parquet, and with `forms` what coco and via mean.

    `class_names` has background first; `pictures` is the folder where VIA finds the pictures, with a slash. Memory is
    that of one part.
    """
    totals = Totals()
    with ExitStack() as files:
        writers = [_tables(files, out)]
        if "coco" in forms:
            writers.append(files.enter_context(_coco(out, class_names)))
        if "via" in forms:
            writers.append(files.enter_context(_via(out, class_names, pictures)))
        for table in predicted.tables():
            for append in writers:
                append(table)
            usable, unusable = usable_and_not(table)
            totals.pictures += len(usable)
            totals.rejected += len(unusable)
            totals.classes.update(detections_in(usable)["category"].to_pylist())
    return totals


def _tables(files: ExitStack, out: Path) -> Append:
    """Return the function that appends a part to the three tables."""
    schemas = {DETECTIONS_FILE: DETECTIONS, IMAGES_FILE: IMAGES, REJECTED_FILE: REJECTED}
    opened = {
        name: files.enter_context(
            pq.ParquetWriter(files.enter_context(whole_file(out / name)), schema, compression="zstd", version="2.6")
        )
        for name, schema in schemas.items()
    }

    def append(table: pa.Table) -> None:
        usable, unusable = usable_and_not(table)
        counts = pc.list_value_length(usable["detections"])
        opened[DETECTIONS_FILE].write_table(detections_in(usable))
        opened[IMAGES_FILE].write_table(usable.select(OF_IMAGE).append_column("detections", counts).cast(IMAGES))
        rows = [
            {"source": source, "image": image, "label_id": "", "reason": reason, "label": "{}"}
            for source, image, reason in zip(
                *(unusable[name].to_pylist() for name in ("source", "image", "reason")), strict=True
            )
        ]
        opened[REJECTED_FILE].write_table(pa.Table.from_pylist(rows, REJECTED))

    return append


def usable_and_not(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the pictures of a part that could be used, and the others."""
    usable = pc.is_null(table["reason"])
    is_video = pc.and_(pc.is_valid(table["video"]), pc.is_null(table["frame"]))
    return table.filter(pc.and_(usable, pc.invert(is_video))), table.filter(pc.invert(usable))


def detections_in(table: pa.Table) -> pa.Table:
    """Return a row for each detection of a part, as `DETECTIONS` has it."""
    lists = table["detections"].combine_chunks()
    images = table.select(OF_DETECTION).take(pc.list_parent_indices(lists))
    found = pa.Table.from_struct_array(pc.list_flatten(lists))
    return pa.table([*images.columns, *found.columns], [*images.column_names, *found.column_names]).cast(DETECTIONS)


@contextmanager
def _coco(out: Path, class_names: Sequence[str]) -> Iterator[Append]:
    """Open COCO's list of results, and beside it the images and categories that its ids refer to."""
    images: list[dict[str, Any]] = []
    ids = {name: number for number, name in enumerate(class_names)}
    with whole_file(out / COCO_FILE) as file:
        file.write(b"[")
        separator = b"\n"

        def append(table: pa.Table) -> None:
            nonlocal separator
            for row in usable_and_not(table)[0].to_pylist():
                number = len(images) + 1
                sides = {"width": row["width"], "height": row["height"]}
                images.append({"id": number, "file_name": row["image"], **sides})
                for found in row["detections"]:
                    result = {
                        "image_id": number,
                        "category_id": ids[found["category"]],
                        "segmentation": found["rle"],
                        "bbox": [found["box"][side] for side in ("x", "y", "width", "height")],
                        "score": found["score"],
                    }
                    file.write(separator + _compact(result))
                    separator = b",\n"

        yield append
        file.write(b"\n]\n")
    categories = [{"id": number, "name": name} for name, number in ids.items() if number]
    with whole_file(out / COCO_IMAGES_FILE) as file:
        file.write(_compact({"images": images, "categories": categories}))


@contextmanager
def _via(out: Path, class_names: Sequence[str], pictures: str) -> Iterator[Append]:
    """Open VIA 1's annotations and VIA 2's project."""
    from pipeline.prediction.prediction import regions

    declared = Declarations(class_names[1:])
    with (
        writing.region_data_file(out / writing.REGION_DATA) as append_for_via1,
        writing.project_file(out / writing.PROJECT, "predictions", declared, as_address(pictures)) as append_for_via2,
    ):

        def append(table: pa.Table) -> None:
            for row in usable_and_not(table)[0].to_pylist():
                found = regions(detections_of(row))
                entry = Entry(row["image"], row["size"], row["width"], row["height"], {}, found)
                append_for_via1(writing.closed(entry))
                append_for_via2(writing.unclosed(entry))

        yield append


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
