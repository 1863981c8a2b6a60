"""What a network detects in the images of a split, beside what is labelled in them."""

# ruff: noqa: TID253 - nothing imports this module before a model is judged

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from mrcnn.shapes import polygons
from mrcnn.shapes.rle import decode_box
from pipeline.dataset.images_zip import ImageRecord, ImagesZip
from pipeline.geometry.polygon import Box
from pipeline.recipe.sections import Evaluation
from pipeline.running.progress import Progress
from pipeline.running.tensorflow_start import memory_named
from pipeline.running.threads import ordered_map

log = logging.getLogger(__name__)

IOU = 0.5
"""Mask IoU from which on a detection and an instance can be the same thing."""
FALSE, IGNORED = -1, -2

Image = NDArray[np.uint8]


class Detector(Protocol):
    """What a network must offer, as `mrcnn.model.MaskRCNN` does."""

    def detect(self, images: list[Image], verbose: int = 0, masks: str = "arrays") -> list[dict[str, Any]]:
        """Return for each image rois [N, 4] (y1, x1, y2, x2), class_ids [N], scores [N] and, for masks="rle", rles."""


@dataclass(frozen=True)
class Rle:
    """A mask in COCO's compressed run lengths, column by column."""

    height: int
    width: int
    counts: str

    @property
    def coco(self) -> dict[str, Any]:
        """The mask as COCO's JSON has it."""
        return {"size": [self.height, self.width], "counts": self.counts}

    @cached_property
    def area(self) -> int:
        """Pixels that are set."""
        return int(coco_mask.area(self.coco))

    @cached_property
    def box(self) -> Box:
        """The smallest box around the pixels that are set."""
        return Box(*(float(side) for side in coco_mask.toBbox(self.coco)))

    def pixels(self) -> NDArray[np.bool_]:
        """Return the mask, [height, width] bool."""
        return np.asarray(coco_mask.decode(self.coco)).astype(bool)

    def crop(self) -> tuple[NDArray[np.bool_], tuple[int, int]]:
        """Return the part of the mask in its box, [h, w] bool, and the box's corner (x, y) in the image."""
        return decode_box(self.coco)

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> Self:
        """Return the run lengths of a mask, [height, width] bool."""
        return cls.from_coco(coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8)))

    @classmethod
    def from_coco(cls, rle: dict[str, Any]) -> Self:
        """Return the run lengths of {"size": [height, width], "counts": text or bytes}."""
        height, width = rle["size"]
        counts = rle["counts"]
        return cls(int(height), int(width), counts.decode("ascii") if isinstance(counts, bytes) else counts)


@dataclass(frozen=True)
class Truth:
    """A labelled instance as evaluation sees it."""

    category: str
    rle: Rle
    ignored: bool
    crowd: bool = False
    instance: str = ""
    """Id of the label."""

    @property
    def neutral(self) -> bool:
        """Crowd or ignored: neither found nor missed, and what is detected inside it is not counted."""
        return self.ignored or self.crowd


@dataclass(frozen=True)
class Detection:
    """A detected instance."""

    category: str
    score: float
    rle: Rle
    box: Box
    """As the network gives it; that of the mask may be smaller."""
    track: int | None = None
    """The number of the thing in its video, where things are followed."""


@dataclass(frozen=True)
class JudgedImage:
    """An image, what is labelled in it, and what was found in it (highest score first)."""

    record: ImageRecord
    truth: tuple[Truth, ...]
    detections: tuple[Detection, ...]

    @cached_property
    def overlaps(self) -> NDArray[np.float64]:
        """Mask IoU of D detections and T labelled instances, [D, T] float64.

        Against an ignored instance it is the share of the detection that lies in it.
        """
        if not self.detections or not self.truth:
            return np.zeros((len(self.detections), len(self.truth)))
        found, labelled = ([each.rle.coco for each in part] for part in (self.detections, self.truth))
        return np.asarray(coco_mask.iou(found, labelled, [int(each.neutral) for each in self.truth]), np.float64)

    @cached_property
    def truth_of(self) -> list[int]:
        """For each detection: the instance of its class that it found, FALSE, or IGNORED.

        COCO's greedy match: by falling score, each detection takes the best instance of its class that is still free.
        """
        ignored = np.array([truth.neutral for truth in self.truth], bool)
        free = ~ignored
        found = []
        for detection, overlaps in zip(self.detections, self.overlaps, strict=True):
            same = np.array([truth.category == detection.category for truth in self.truth], bool) & (overlaps >= IOU)
            candidates = np.where(same & free, overlaps, 0.0)
            if candidates.any():
                found.append(int(candidates.argmax()))
                free[found[-1]] = False
            else:
                found.append(IGNORED if (same & ignored).any() else FALSE)
        return found


def find(
    detector: Detector,
    archive: ImagesZip,
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    settings: Evaluation,
) -> tuple[tuple[JudgedImage, ...], float]:
    """Return what `detector` finds in `records`, and the seconds that an image takes it.

    `class_names[class_id]` names its classes, 0 being background. The seconds are the median over the batches but the
    first, which also builds the graph.
    """
    judged: list[JudgedImage] = []
    seconds: list[float] = []
    with Progress("detecting", len(records), "image") as bar:
        for batch, images in _batches(archive, records, settings.batch_size):
            start = time.perf_counter()
            with memory_named("evaluation", less_memory("evaluation.batch_size", images)):
                results = detector.detect(images, verbose=0, masks="rle")
            seconds.append((time.perf_counter() - start) / len(batch))
            for record, result in zip(batch, results, strict=False):
                found = of_result(result, class_names, settings.min_confidence, settings.max_detections)
                judged.append(JudgedImage(record, truth_in(record), found))
            bar.advance(len(batch))
    if outside := sum(len(image.record.instances) - len(image.truth) for image in judged):
        log.warning("%s: %d labels lie outside of their images and are left out", archive.path, outside)
    return tuple(judged), float(np.median(seconds[1:] or seconds))


def less_memory(setting: str, images: Sequence[Image]) -> str:
    """Return what can be set for the detection of a batch to need less memory, with numbers."""
    height, width = max((image.shape[:2] for image in images), key=np.prod)
    batch = f"a batch has {len(images)} images of up to {width}x{height} pixels"
    if len(images) > 1:
        return f"{batch}: set {setting} to {len(images) // 2}, and run it again"
    return f"{batch}: end other programs that use it, or train with smaller training.min_dim and max_dim"


def _batches(
    archive: ImagesZip, records: Sequence[ImageRecord], size: int
) -> Iterator[tuple[Sequence[ImageRecord], list[Image]]]:
    """Yield batches with their images, read while the network works; the last is filled up by repetition."""

    def read(part: Sequence[ImageRecord]) -> list[Image]:
        return [archive.pixels(record) for record in part]

    parts = [records[start : start + size] for start in range(0, len(records), size)]
    for part, images in zip(parts, ordered_map(read, parts, batch_size=1, threads=1), strict=True):
        yield part, images + images[-1:] * (size - len(images))


def truth_in(record: ImageRecord) -> tuple[Truth, ...]:
    """Return the instances that have at least one pixel inside the image."""
    masks = [Rle.of(polygons.mask(each.rings, record.height, record.width)) for each in record.instances]
    return tuple(
        Truth(instance.category, rle, instance.ignored, instance.crowd, instance.id)
        for instance, rle in zip(record.instances, masks, strict=True)
        if rle.area
    )


def of_result(
    result: dict[str, Any], class_names: Sequence[str], min_score: float, max_detections: int
) -> tuple[Detection, ...]:
    """Return what `Detector.detect` found in an image with masks="rle", highest score first."""
    columns = (result[name] for name in ("rois", "class_ids", "scores", "rles"))
    found = [
        Detection(class_names[int(class_id)], float(score), Rle.from_coco(rle), _box(roi))
        for roi, class_id, score, rle in zip(*columns, strict=True)
        if score >= min_score
    ]
    return tuple(sorted(found, key=lambda detection: -detection.score)[:max_detections])


def _box(roi: Sequence[float]) -> Box:
    top, left, bottom, right = (float(side) for side in roi)
    return Box(left, top, right - left, bottom - top)
