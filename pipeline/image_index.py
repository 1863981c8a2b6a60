"""The index of raw images, `images.parquet`: a row an image, saying where its bytes lie; writing and reading it.

How images are found (`pipeline.raw_images`) and how their bytes are read (`pipeline.image_store`) is not here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.archives import Compression
from pipeline.errors import ArtifactError
from pipeline.files import whole_file
from pipeline.instances import Rejected

INDEX = "images.parquet"
REJECTED = "rejected.parquet"

Split = Literal["train", "val", "test"]

SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("path", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("compression", pa.string()),
        ("size", pa.int64()),
        ("crc32", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
    ]
)
REJECTED_SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "image", "label_id", "reason", "label")])


@dataclass(frozen=True)
class IndexedImage:
    """A row of the index."""

    image: str
    """Its flat name, unique also where case does not count."""
    split: Split | None
    """What a folder of its path says."""
    source: str
    """The archive or folder that holds it: absolute, or relative to the raw_images folder."""
    path: str
    """Its path inside `source`."""
    offset: int
    """Where its bytes start in the archive; 0 for a file in a folder."""
    length: int
    """The bytes that it takes there."""
    compression: Compression
    size: int
    """Bytes of the image file itself."""
    crc32: int
    width: int
    height: int
    sha256: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the image of a row (as `to_pylist` gives it) of a table that has these columns, and maybe others."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})


def write_index(folder: Path, images: Iterable[IndexedImage]) -> None:
    """Write `images.parquet`, sorted by name; equal images give equal bytes."""
    rows = [asdict(image) for image in sorted(images, key=lambda image: image.image)]
    write_table(folder / INDEX, pa.Table.from_pylist(rows, SCHEMA))


def write_rejected(folder: Path, rejected: Iterable[Rejected]) -> None:
    """Write `rejected.parquet`, sorted by source and image."""
    rows = sorted((asdict(item) for item in rejected), key=lambda row: (row["source"], row["image"], row["label"]))
    write_table(folder / REJECTED, pa.Table.from_pylist(rows, REJECTED_SCHEMA))


def read_index_table(folder: Path) -> pa.Table:
    """Return the index in a raw_images folder, its columns as in `SCHEMA`; raises ArtifactError where it has none."""
    try:
        # Not pq.read_table: it imports pandas, a third of a second that the copying stage has no other use for.
        with pq.ParquetFile(folder / INDEX) as file:
            return file.read(SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ArtifactError(f"{folder / INDEX} can't be read ({error}); materialise raw_images again") from error


def read_index(folder: Path) -> dict[str, IndexedImage]:
    """Return the images of a raw_images folder by name, sorted; raises ArtifactError where it has no index."""
    table = read_index_table(folder)
    columns = [table.column(field.name).to_pylist() for field in fields(IndexedImage)]
    return {row[0]: IndexedImage(*row) for row in zip(*columns, strict=True)}


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, whole or not at all, with settings under which equal tables give equal bytes."""
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=65_536, version="2.6")
