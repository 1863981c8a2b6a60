"""The names that the original's `mrcnn.utils` had, from the modules where each now lives.

Nothing is defined here; new code imports the modules themselves.
"""

from typing import TYPE_CHECKING, Any

from mrcnn.dataset import Dataset
from mrcnn.download import COCO_MODEL_URL, download_trained_weights
from mrcnn.masks import expand_mask, extract_bboxes, minimize_mask, unmold_mask
from mrcnn.metrics import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps,
    compute_overlaps_masks,
    compute_recall,
    trim_zeros,
)
from mrcnn.resizing import resize_image, resize_mask

if TYPE_CHECKING:
    from mrcnn.anchors import generate_anchors, generate_pyramid_anchors
    from mrcnn.boxes import (
        apply_box_deltas,
        box_refinement,
        compute_iou,
        denorm_boxes,
        non_max_suppression,
        norm_boxes,
    )
    from mrcnn.old_names import batch_slice, resize

__all__ = [
    "COCO_MODEL_URL", "Dataset", "apply_box_deltas", "batch_slice", "box_refinement", "compute_ap", "compute_ap_range",
    "compute_iou", "compute_matches", "compute_overlaps", "compute_overlaps_masks", "compute_recall", "denorm_boxes",
    "download_trained_weights", "expand_mask", "extract_bboxes", "generate_anchors", "generate_pyramid_anchors",
    "minimize_mask", "non_max_suppression", "norm_boxes", "resize", "resize_image", "resize_mask", "trim_zeros",
    "unmold_mask",
]  # fmt: skip

_FROM_TENSORFLOW = {
    "generate_anchors": "anchors",
    "generate_pyramid_anchors": "anchors",
    "apply_box_deltas": "boxes",
    "batch_slice": "old_names",
    "box_refinement": "boxes",
    "compute_iou": "boxes",
    "denorm_boxes": "boxes",
    "non_max_suppression": "boxes",
    "norm_boxes": "boxes",
    "resize": "old_names",
}
"""Names whose modules import TensorFlow: looked up when asked for."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _FROM_TENSORFLOW:
        if name.startswith("__"):  # asked by the import system, which mustn't load TensorFlow
            raise AttributeError(name)
        return import_module("mrcnn.old_names").found(__name__, name)
    return getattr(import_module(f"mrcnn.{_FROM_TENSORFLOW[name]}"), name)
