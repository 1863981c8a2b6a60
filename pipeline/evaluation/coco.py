"""Ground truth and detections in COCO's form, and COCO's average precision of them."""

# ruff: noqa: TID253 - nothing imports this module before a model is judged

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from pipeline.evaluation.detections import JudgedImage
from pipeline.geometry.polygon import Box

IOU_50, IOU_75 = 0, 5
"""Positions in COCO's ten thresholds, 0.50, 0.55 … 0.95."""
ALL, SMALL, MEDIUM, LARGE = range(4)
"""Positions of COCO's areas: all, under 32², under 96², larger (square pixels of the image as it is)."""


@dataclass(frozen=True)
class ClassFigures:
    """Average precision of one class; None where no ground truth of it counts."""

    AP: float | None
    AP50: float | None
    AP75: float | None
    AR: float | None
    instances: int


@dataclass(frozen=True)
class Figures:
    """COCO's figures; None where no ground truth counts."""

    AP: float | None
    AP50: float | None
    AP75: float | None
    APs: float | None
    APm: float | None
    APl: float | None
    AR: float | None
    per_class: dict[str, ClassFigures]
    curves: dict[str, NDArray[np.float64]]
    """Precision at IoU 0.5 for recall 0, 0.01 … 1, [101] float64, of each class that has ground truth."""


def ground_truth(images: Sequence[JudgedImage], categories: Sequence[str]) -> dict[str, Any]:
    """Return COCO's ground truth: ids from 1, masks as RLE; crowd and ignored instances are `iscrowd`.

    COCO's evaluation knows one kind of region that is neither found nor missed, iscrowd; BDD100K's own evaluation
    puts its ignored regions there too.
    """
    ids = {name: number for number, name in enumerate(categories, 1)}
    labelled = [(image_id, truth) for image_id, image in enumerate(images, 1) for truth in image.truth]
    return {
        "images": [
            {"id": number, "file_name": image.record.image, "width": image.record.width, "height": image.record.height}
            for number, image in enumerate(images, 1)
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": ids[truth.category],
                "segmentation": truth.rle.coco,
                "bbox": _sides(truth.rle.box),
                "area": truth.rle.area,
                "iscrowd": int(truth.neutral),
                "ignore": int(truth.neutral),
            }
            for number, (image_id, truth) in enumerate(labelled, 1)
        ],
    }


def results(images: Sequence[JudgedImage], categories: Sequence[str]) -> list[dict[str, Any]]:
    """Return the detections as COCO's list of results."""
    ids = {name: number for number, name in enumerate(categories, 1)}
    return [
        {
            "image_id": image_id,
            "category_id": ids[detection.category],
            "segmentation": detection.rle.coco,
            "bbox": _sides(detection.box),
            "score": detection.score,
        }
        for image_id, image in enumerate(images, 1)
        for detection in image.detections
    ]


def average_precision(
    images: Sequence[JudgedImage], categories: Sequence[str], kind: Literal["segm", "bbox"], max_detections: int = 100
) -> Figures:
    """Return COCO's figures of masks (`segm`) or boxes (`bbox`) over ten IoU thresholds."""
    truth = ground_truth(images, categories)
    areas = [detection.rle.area for image in images for detection in image.detections]
    # With the area of the mask: COCO.loadRes would take that of the box.
    annotations = [
        {**result, "id": number, "area": area, "iscrowd": 0}
        for number, (result, area) in enumerate(zip(results(images, categories), areas, strict=True), 1)
    ]
    evaluation = COCOeval_faster(COCO(truth), COCO({**truth, "annotations": annotations}), kind)
    evaluation.params.maxDets = [1, 10, max_detections]
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])
    instances = Counter(truth.category for image in images for truth in image.truth if not truth.neutral)
    return _figures(precision[..., -1], recall[..., -1], {name: instances[name] for name in categories})


def _figures(precision: NDArray[Any], recall: NDArray[Any], counts: dict[str, int]) -> Figures:
    """Return the figures from precision [10 IoU, 101 recall, class, 4 areas] and recall [10 IoU, class, 4 areas]."""
    whole = precision[..., ALL]
    per_class = {
        name: ClassFigures(
            AP=_mean(whole[:, :, position]),
            AP50=_mean(whole[IOU_50, :, position]),
            AP75=_mean(whole[IOU_75, :, position]),
            AR=_mean(recall[:, position, ALL]),
            instances=count,
        )
        for position, (name, count) in enumerate(counts.items())
    }
    return Figures(
        AP=_mean(whole),
        AP50=_mean(whole[IOU_50]),
        AP75=_mean(whole[IOU_75]),
        APs=_mean(precision[..., SMALL]),
        APm=_mean(precision[..., MEDIUM]),
        APl=_mean(precision[..., LARGE]),
        AR=_mean(recall[..., ALL]),
        per_class=per_class,
        curves={n: whole[IOU_50, :, k].astype(np.float64) for k, n in enumerate(counts) if counts[n]},
    )


def _mean(values: NDArray[Any]) -> float | None:
    """Return the mean of what could be measured; COCO marks the rest by -1."""
    measured = values[values > -1]
    return round(float(measured.mean()), 6) if measured.size else None


def _sides(box: Box) -> list[float]:
    return [box.x, box.y, box.width, box.height]
