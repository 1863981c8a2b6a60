"""What a run has predicted so far, in parts on the disk, so that the same command goes on after an interruption."""

import json
import shutil
import time
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.files.atomic import whole_file, write_json
from pipeline.instances.tables import BOX
from pipeline.secrets import redacted

if TYPE_CHECKING:
    from pipeline.evaluation.detections import Detection
    from pipeline.prediction.picture import Picture

FOLDER, SETTINGS = ".parts", "settings.json"
PICTURES_A_PART, SECONDS_A_PART = 200, 30.0
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
reason where it can't be used; what is found in it. A video without a frame: that all of its frames are finished."""

DETECTIONS_FILE, IMAGES_FILE = "detections.parquet", "images.parquet"
OF_IMAGE = ("image", "source", "stamp", "width", "height", "size", "video", "frame", "time")
OF_DETECTION = ("image", "video", "frame", "time")
DETECTIONS = pa.schema([*(SCHEMA.field(name) for name in OF_DETECTION), *DETECTION])
"""detections.parquet: a row a detection, by picture, then by falling score: its box in pixels, its mask in COCO's
compressed run lengths, the mask's pixels; in a video the frame, its time in seconds, and the number of the track."""
IMAGES = pa.schema([*(SCHEMA.field(name) for name in OF_IMAGE), ("detections", pa.int64())])
"""images.parquet: a row a picture; of a frame also its video, its number in it and its time in seconds."""


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
        if stamp is not None:
            self._check(picture, stamp)
        return stamp is not None

    @staticmethod
    def _check(picture: "Picture", stamp: str) -> None:
        if stamp != picture.stamp:
            raise ArtifactError(f"{picture.where}: has changed since it was predicted; add --force to begin anew")

    def frames_of(self, video: "Picture") -> Iterator[dict[str, Any]]:
        """Yield the rows of the finished frames of a video, in order; raises ArtifactError where it has changed."""
        for table in self.tables():
            of_video = pc.and_(pc.equal(table["source"], video.where), pc.is_valid(table["frame"]))
            for row in table.filter(of_video).to_pylist():
                self._check(video, row["stamp"])
                yield row

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

    def finish(self, out: Path) -> None:
        """Remove the parts when their files are written, and leave the settings for `Earlier`."""
        (self._folder / SETTINGS).replace(out / SETTINGS)
        self.discard(out)

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


class Earlier:
    """What a finished run has found, so that a picture that is still there is not predicted again."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Open the run in `folder`; where there is none, or one with other settings, nothing is known."""
        self.folder = folder
        self._first: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self._group = pa.Table.from_pylist([], DETECTIONS)
        self._group_start = 0
        try:
            if json.loads((folder / SETTINGS).read_text("utf-8")) != settings:
                return
        except FileNotFoundError:
            return
        self._file = pq.ParquetFile(folder / DETECTIONS_FILE)
        groups = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = [0, *accumulate(groups)]
        images = pq.ParquetFile(folder / IMAGES_FILE).read().to_pylist()
        starts = accumulate((image["detections"] for image in images), initial=0)
        self._first = {
            (each["image"], each["stamp"]): (first, each) for each, first in zip(images, starts, strict=False)
        }

    def known(self, picture: "Picture") -> dict[str, Any] | None:
        """Return the row of a picture that has not changed, as a row of `SCHEMA`."""
        if (picture.name, picture.stamp) not in self._first:
            return None
        first, image = self._first[picture.name, picture.stamp]
        columns = {name: image[name] for name in ("width", "height", "video", "frame", "time")}
        return row(picture, **columns, detections=self._detections(first, image["detections"]))

    def _detections(self, first: int, count: int) -> list[dict[str, Any]]:
        """Return rows of detections.parquet, of which one group is held in memory; a picture lies within a group."""
        if not count:
            return []
        group = bisect_right(self._starts, first) - 1
        if self._starts[group] != self._group_start or not len(self._group):
            self._group, self._group_start = self._file.read_row_group(group), self._starts[group]
        return self._group.slice(first - self._group_start, count).drop_columns(OF_DETECTION).to_pylist()


def row(picture: "Picture", **columns: Any) -> dict[str, Any]:
    """Return the row of a picture."""
    row = {"image": picture.name, "source": redacted(picture.where), "stamp": picture.stamp, "size": picture.size}
    return row | (vars(picture.moment) if picture.moment else {}) | columns


def detection_row(detection: "Detection") -> dict[str, Any]:
    """Return a detection as it stands in a row."""
    found = {"category": detection.category, "score": detection.score, "box": vars(detection.box)}
    return found | {"rle": detection.rle.coco, "area": detection.rle.area, "track": detection.track}


def detections_of(row: dict[str, Any]) -> tuple["Detection", ...]:
    """Return the detections of a row."""
    from pipeline.evaluation.detections import Detection, Rle
    from pipeline.geometry.polygon import Box

    return tuple(
        Detection(each["category"], each["score"], Rle.from_coco(each["rle"]), Box(**each["box"]), each["track"])
        for each in row["detections"]
    )


def _keys(table: pa.Table) -> Iterator[tuple[str, str, str]]:
    return zip(*(table[name].to_pylist() for name in ("image", "source", "stamp")), strict=True)
