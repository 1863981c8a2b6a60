"""Reads what a finished report judged: images, labels and detections, from its files."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts import MANIFEST, Manifest
from pipeline.dataset.images_zip import ImageRecord
from pipeline.errors import ArtifactError
from pipeline.evaluation.detections import Detection, JudgedImage, Rle, Truth
from pipeline.geometry.polygon import Box

GROUND_TRUTH, DETECTIONS = "coco_ground_truth.json", "detections.parquet"


@dataclass(frozen=True)
class JudgedFiles:
    """What a report judged."""

    fingerprint: str
    categories: tuple[str, ...]
    images: Mapping[str, JudgedImage]
    """By name."""


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Mask(msgspec.Struct):
    size: tuple[int, int]
    counts: str


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    segmentation: _Mask
    iscrowd: int


class _GroundTruth(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


def read(folder: Path) -> JudgedFiles:
    """Return what the report in `folder` judged; raises ArtifactError where its files are missing or damaged."""
    try:
        truth = msgspec.json.decode((folder / GROUND_TRUTH).read_bytes(), type=_GroundTruth)
        rows = pq.read_table(folder / DETECTIONS).to_pylist()
        return _joined(folder, truth, _detections(rows))
    except (OSError, KeyError, TypeError, msgspec.DecodeError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ArtifactError(f"{folder}: not a whole evaluation_report: {error}") from None


def common_images(one: JudgedFiles, other: JudgedFiles) -> list[str]:
    """Return the names of the images that both judge with the same labels, in the order of `one`."""
    return [
        name
        for name, image in one.images.items()
        if name in other.images and _labels(image) == _labels(other.images[name])
    ]


def _labels(image: JudgedImage) -> list[tuple[str, str, bool]]:
    return sorted((each.category, each.rle.counts, each.neutral) for each in image.truth)


def _detections(rows: list[dict]) -> dict[str, list[Detection]]:
    by_image = defaultdict(list)
    for row in rows:
        found = Detection(row["category"], row["score"], Rle.from_coco(row["rle"]), Box(**row["box"]))
        by_image[row["image"]].append(found)
    return by_image


def _joined(folder: Path, truth: _GroundTruth, found: Mapping[str, list[Detection]]) -> JudgedFiles:
    names = {category.id: category.name for category in truth.categories}
    labelled = defaultdict(list)
    for each in truth.annotations:
        mask = Rle(*each.segmentation.size, each.segmentation.counts)
        labelled[each.image_id].append(Truth(names[each.category_id], mask, bool(each.iscrowd)))
    images = {
        image.file_name: JudgedImage(
            ImageRecord(image.file_name, "", image.width, image.height, (), "", 0, 0),
            tuple(labelled[image.id]),
            tuple(found.get(image.file_name, ())),
        )
        for image in truth.images
    }
    fingerprint = Manifest.read(folder).fingerprint if (folder / MANIFEST).exists() else folder.name
    return JudgedFiles(fingerprint, tuple(names.values()), images)
