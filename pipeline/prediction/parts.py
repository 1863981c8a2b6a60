"""What a run has predicted so far, in parts on the disk, so that the same command goes on after an interruption."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.files.atomic import whole_file, write_json
from pipeline.instances.tables import BOX

if TYPE_CHECKING:
    from pipeline.evaluation.detections import Detection
    from pipeline.prediction.pictures import Picture

FOLDER, SETTINGS = ".parts", "settings.json"
PICTURES_A_PART, SECONDS_A_PART = 1000, 30.0
"""What an interruption that can't be seen coming costs at most."""

RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
DETECTION = pa.struct(
    [
        ("category", pa.string()),
        ("score", pa.float64()),
        ("box", BOX),
        ("rle", RLE),
        ("area", pa.int64()),
        ("track", pa.int32()),
    ]
)
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("source", pa.string()),
        ("stamp", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("size", pa.int64()),
        ("video", pa.string()),
        ("frame", pa.int32()),
        ("time", pa.float64()),
        ("reason", pa.string()),
        ("detections", pa.list_(DETECTION)),
    ]
)
"""A row a picture: where it lies, its size in pixels and bytes; of a frame its video, number and time in seconds; the
reason where it can't be used; what is found in it."""


class Parts:
    """Finished pictures of a run, written some at a time: `with Parts(out, settings) as parts: parts.add(row)`."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        """Take up what a run with equal settings has left in `out`; raises ArtifactError where those were others."""
        self._folder = out / FOLDER
        self._rows: list[dict[str, Any]] = []
        self._written = time.monotonic()
        try:
            before = json.loads((self._folder / SETTINGS).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            shutil.rmtree(self._folder, ignore_errors=True)
            before = settings
        if changed := [key for key in settings if before.get(key) != settings[key]]:
            raise ArtifactError(
                f"{out}: holds predictions with another {' and '.join(changed)}; name a new folder with --out, or add "
                "--force to make them anew"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / SETTINGS, settings)
        self._known = {(image, where): stamp for table in self.tables() for image, where, stamp in _keys(table)}

    @staticmethod
    def discard(out: Path) -> None:
        """Remove what an earlier run has left in `out`."""
        shutil.rmtree(out / FOLDER, ignore_errors=True)

    def has(self, picture: "Picture") -> bool:
        """Return whether a picture is finished; raises ArtifactError where it has changed since."""
        stamp = self._known.get((picture.name, picture.where))
        if stamp not in (None, picture.stamp):
            raise ArtifactError(f"{picture.where}: has changed since it was predicted; add --force to begin anew")
        return stamp is not None

    def add(self, row: dict[str, Any]) -> None:
        """Add a picture, a row of `SCHEMA`."""
        self._rows.append(row)
        if len(self._rows) >= PICTURES_A_PART or time.monotonic() - self._written > SECONDS_A_PART:
            self.flush()

    def flush(self) -> None:
        """Write what was added since the last part."""
        if self._rows:
            with whole_file(self._folder / f"{len(self._paths()):06d}.parquet") as file:
                pq.write_table(pa.Table.from_pylist(self._rows, SCHEMA), file, compression="zstd")
        self._rows.clear()
        self._written = time.monotonic()

    def tables(self) -> Iterator[pa.Table]:
        """Yield the parts, in the order in which they were made."""
        for path in self._paths():
            with pq.ParquetFile(path) as file:
                yield file.read()

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.parquet"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.flush()


def row(picture: "Picture", **columns: Any) -> dict[str, Any]:
    """Return the row of a picture."""
    return {"image": picture.name, "source": picture.where, "stamp": picture.stamp, "size": picture.size} | columns


def detection_row(detection: "Detection", track: int | None = None) -> dict[str, Any]:
    """Return a detection as it stands in a row."""
    found = {"category": detection.category, "score": detection.score, "box": vars(detection.box)}
    return found | {"rle": detection.rle.coco, "area": detection.rle.area, "track": track}


def _keys(table: pa.Table) -> Iterator[tuple[str, str, str]]:
    return zip(*(table[name].to_pylist() for name in ("image", "source", "stamp")), strict=True)
