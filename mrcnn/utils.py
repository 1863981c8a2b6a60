"""The names of matterport's `mrcnn.utils`, imported from the modules that define them."""

from typing import TYPE_CHECKING, Any

from mrcnn.data.dataset import Dataset
from mrcnn.data.resizing import resize_image, resize_mask
from mrcnn.shapes.anchors import generate_anchors, generate_pyramid_anchors
from mrcnn.shapes.boxes import (
    apply_box_deltas,
    box_refinement,
    compute_iou,
    denorm_boxes,
    non_max_suppression,
    norm_boxes,
)
from mrcnn.shapes.masks import expand_mask, extract_bboxes, minimize_mask, unmold_mask
from mrcnn.shapes.metrics import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps,
    compute_overlaps_masks,
    compute_recall,
    trim_zeros,
)
from mrcnn.weights.coco import COCO_MODEL_URL, download_trained_weights

if TYPE_CHECKING:
    from mrcnn.original.names import batch_slice, resize

__all__ = [
    "COCO_MODEL_URL", "Dataset", "apply_box_deltas", "batch_slice", "box_refinement", "compute_ap", "compute_ap_range",
    "compute_iou", "compute_matches", "compute_overlaps", "compute_overlaps_masks", "compute_recall", "denorm_boxes",
    "download_trained_weights", "expand_mask", "extract_bboxes", "generate_anchors", "generate_pyramid_anchors",
    "minimize_mask", "non_max_suppression", "norm_boxes", "resize", "resize_image", "resize_mask", "trim_zeros",
    "unmold_mask",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import `mrcnn.original.names`, and with it TensorFlow, only when one of its names is used."""
    if name.startswith("__"):  # looked up by the import system, which must not import TensorFlow
        raise AttributeError(name)
    from mrcnn.original import names

    return getattr(names, name) if name in {"batch_slice", "resize"} else names.lookup(__name__, name)
