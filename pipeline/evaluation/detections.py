"""What a network finds in the images of a split, beside what is labelled in them.

How good the findings are is judged elsewhere (`pipeline.evaluation.coco`, `pipeline.evaluation.scores`).
"""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mrcnn.shapes import polygons
from pipeline.dataset.images_zip import ImageRecord, ImagesZip
from pipeline.geometry.polygon import Box
from pipeline.running.progress import Progress

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]


class Detector(Protocol):
    """What is asked of a network: `mrcnn.model.MaskRCNN` has it."""

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

    @property
    def area(self) -> int:
        """Pixels that are set."""
        from faster_coco_eval.core import mask

        return int(mask.area(self.coco))

    @property
    def box(self) -> Box:
        """The smallest box around the pixels that are set."""
        from faster_coco_eval.core import mask

        return Box(*(float(side) for side in mask.toBbox(self.coco)))

    def pixels(self) -> NDArray[np.bool_]:
        """Return the mask, [height, width] bool."""
        from faster_coco_eval.core import mask

        return np.asarray(mask.decode(self.coco)).astype(bool)

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> "Rle":
        """Return the run lengths of a mask, [height, width] bool."""
        from faster_coco_eval.core import mask

        height, width = pixels.shape
        counts = mask.encode(np.asfortranarray(pixels, dtype=np.uint8))["counts"]
        return cls(height, width, counts.decode("ascii") if isinstance(counts, bytes) else counts)


@dataclass(frozen=True)
class Truth:
    """A labelled instance as evaluation sees it."""

    category: str
    rle: Rle
    box: Box
    area: int
    ignored: bool
    """Crowd or ignored: neither found nor missed, and what is detected inside it is not counted (as BDD100K does)."""
    geometry: str


@dataclass(frozen=True)
class Detection:
    """A detected instance."""

    category: str
    score: float
    rle: Rle
    box: Box
    area: int


@dataclass(frozen=True)
class JudgedImage:
    """An image, what is labelled in it, and what was found in it (highest score first)."""

    record: ImageRecord
    truth: tuple[Truth, ...]
    detections: tuple[Detection, ...]


@dataclass(frozen=True)
class Findings:
    """All images of a split, and how long detection took."""

    images: tuple[JudgedImage, ...]
    seconds_per_image: float
    """Median over the batches but the first, which also builds the graph."""


@dataclass(frozen=True)
class Limits:
    """Which detections are kept, and how many images go through the network at once."""

    min_confidence: float = 0.05
    max_detections: int = 100
    batch_size: int = 1


def find(
    detector: Detector, archive: ImagesZip, records: Sequence[ImageRecord], class_names: Sequence[str], limits: Limits
) -> Findings:
    """Return what `detector` finds in `records`; `class_names[class_id]` names its classes, 0 being background."""
    judged: list[JudgedImage] = []
    seconds: list[float] = []
    labelled = 0
    with Progress("detecting", len(records), "image") as bar:
        for batch, images in _batches(archive, records, limits.batch_size):
            start = time.perf_counter()
            results = detector.detect(images, verbose=0, masks="rle")
            seconds.append((time.perf_counter() - start) / len(batch))
            for record, result in zip(batch, results, strict=False):
                labelled += len(record.instances)
                judged.append(JudgedImage(record, _truth(record), _detections(result, class_names, limits)))
            bar.advance(len(batch))
    if outside := labelled - sum(len(image.truth) for image in judged):
        log.warning("%s: %d labels lie outside of their images and are left out", archive.path, outside)
    return Findings(tuple(judged), float(np.median(seconds[1:] or seconds)))


def _batches(
    archive: ImagesZip, records: Sequence[ImageRecord], size: int
) -> Iterator[tuple[Sequence[ImageRecord], list[Image]]]:
    """Yield batches with their images, read while the network works; the last is filled up by repetition."""
    parts = [records[start : start + size] for start in range(0, len(records), size)]
    with ThreadPoolExecutor(1) as reader:
        following = [reader.submit(_images, archive, part) for part in parts[:1]]
        for position, part in enumerate(parts):
            images = following.pop().result()
            following = [reader.submit(_images, archive, later) for later in parts[position + 1 : position + 2]]
            yield part, images + images[-1:] * (size - len(images))


def _images(archive: ImagesZip, records: Sequence[ImageRecord]) -> list[Image]:
    return [archive.pixels(record) for record in records]


def _truth(record: ImageRecord) -> tuple[Truth, ...]:
    """Return the instances that have at least one pixel inside the image."""
    found = []
    for instance in record.instances:
        rle = Rle.of(polygons.mask(instance.rings, record.height, record.width))
        ignored = instance.crowd or instance.ignored
        found.append(Truth(instance.category, rle, rle.box, rle.area, ignored, instance.geometry))
    return tuple(truth for truth in found if truth.area > 0)


def _detections(result: dict[str, Any], class_names: Sequence[str], limits: Limits) -> tuple[Detection, ...]:
    found = [
        _detection(roi, class_names[int(class_id)], float(score), rle)
        for roi, class_id, score, rle in zip(
            result["rois"], result["class_ids"], result["scores"], result["rles"], strict=True
        )
        if score >= limits.min_confidence
    ]
    return tuple(sorted(found, key=lambda detection: -detection.score)[: limits.max_detections])


def _detection(roi: Sequence[float], category: str, score: float, rle: dict[str, Any]) -> Detection:
    top, left, bottom, right = (float(side) for side in roi)
    counts = rle["counts"].decode("ascii") if isinstance(rle["counts"], bytes) else rle["counts"]
    mask = Rle(int(rle["size"][0]), int(rle["size"][1]), counts)
    return Detection(category, score, mask, Box(left, top, right - left, bottom - top), mask.area)
