"""What a stretch of a label file says: its images, and their instances as columns rather than one by one.

Reading blocks is in `pipeline.formats`, placing them in `label_frames`; images that need a closer look stay
`LabelledImage`s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from pipeline.instances.columns import instances_at
from pipeline.instances.reasons import OTHER_CATEGORY
from pipeline.instances.records import Instance, LabelledImage, Rejected

OTHERS = pa.schema([("label_id", pa.string()), ("label", pa.string())])
"""Columns of labels of other categories, as in rejected.parquet."""

Digest = tuple[int, ...]
"""Of the labels of an image, those that are rejected among them; equal for equal labels."""


class ImageRows(msgspec.Struct, frozen=True):
    """What is said of one image; its instances are rows of the block, and their ids are distinct."""

    name: str
    """As in `LabelledImage`, and never empty."""
    video: str | None
    frame_of: str | None
    """The video that it is a frame of, as its label file or its attributes say."""
    attributes: str
    """JSON, as in images.parquet."""
    rejected: tuple[Rejected, ...]
    first_other: int
    """The first of its labels of other categories."""
    other_count: int
    content: Digest
    start: int
    """The first of its rows."""
    count: int


@dataclass(frozen=True)
class LabelBlock:
    """Images in the order of the file `source`, and the instances of those that are `ImageRows`."""

    source: str
    images: Sequence[ImageRows | LabelledImage]
    instances: pa.RecordBatch
    """Columns as in `tables.INSTANCE_FIELDS`, not yet clipped to the images."""
    others: pa.RecordBatch
    """Columns as in `OTHERS`: the labels of other categories."""

    def instances_of(self, image: ImageRows) -> list[Instance]:
        """Return an image's instances one by one."""
        return list(instances_at(self.instances, np.arange(image.start, image.start + image.count)))

    def others_of(self, image: ImageRows) -> list[Rejected]:
        """Return an image's labels of other categories one by one."""
        rows = self.others.slice(image.first_other, image.other_count).to_pylist()
        return [Rejected(self.source, image.name, row["label_id"], OTHER_CATEGORY, row["label"]) for row in rows]


def digest(
    ids: Sequence[str],
    categories: Sequence[str],
    marks: NDArray[np.int64],
    points: NDArray[np.float64],
    rejected: Sequence[Rejected],
) -> Digest:
    """Return the digest of an image's labels: ids, categories, `ring_marks` and vertices ([P, 2]), and the rejected."""
    left_out = chain.from_iterable((each.label_id, each.reason, each.label) for each in rejected)
    said = "\0".join(chain(ids, categories, left_out)).encode("utf-8", "surrogatepass")
    return crc32(said), crc32(np.ascontiguousarray(marks).data), crc32(np.ascontiguousarray(points).data)


def ring_marks(
    lengths: NDArray[np.int64], rings_each: NDArray[np.int64], crowd: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return a number a ring ([R]): its vertices, whether it is an instance's first, and the flags of its instance."""
    marks = lengths * 8 + np.repeat(crowd * 2 + ignored * 1, rings_each)
    marks[np.cumsum(rings_each) - rings_each] += 4
    return marks


def content_of(image: LabelledImage) -> Digest:
    """Return the digest of what the labels of an image say: equal to that of `ImageRows` that say the same."""
    rings = [ring for each in image.instances for ring in each.rings]
    marks = ring_marks(
        np.array([len(ring) for ring in rings], np.int64),
        np.array([len(each.rings) for each in image.instances], np.int64),
        np.array([each.crowd for each in image.instances], bool),
        np.array([each.ignored for each in image.instances], bool),
    )
    ids, categories = ([getattr(each, name) for each in image.instances] for name in ("id", "category"))
    return digest(ids, categories, marks, np.concatenate(rings) if rings else np.empty((0, 2)), image.rejected)


def video_of(given: str | None, attributes: Mapping[str, Any]) -> str | None:
    """Return the video that an image is a frame of: as its label file says, else as its attributes do."""
    named = attributes.get("video")
    return given or (named if isinstance(named, str) and named else None)


def image_attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's attributes, without its video, with those that `via_format.file_attributes` packed as JSON."""
    attributes = {key: value for key, value in given.items() if key != "video"}
    packed = attributes.get("attributes")
    if packed == "":  # as VIA has it of an image to which nobody gave any
        del attributes["attributes"]
        return attributes
    try:
        rest = msgspec.json.decode(packed) if isinstance(packed, str) else None
    except (msgspec.DecodeError, RecursionError):
        return attributes
    if not isinstance(rest, dict):
        return attributes
    del attributes["attributes"]
    return rest | attributes
