"""Functions of matterport's modules that only old scripts use, and replacements of those that no longer exist."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrcnn.config import IMAGE_META_FIELDS
from mrcnn.network import losses
from mrcnn.ops import boxes


class CheckpointPath(str):
    """Path of a checkpoint, which can also be taken apart as (folder, path), as `find_last` returned until mid 2018."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> str:
        """Return the folder for 0 and the whole path for 1; slices are those of the text."""
        return tuple(self)[index] if index in (0, 1) else super().__getitem__(index)

    def __iter__(self) -> Iterator[str]:
        """Yield the folder and the path."""
        return iter((str(Path(self).parent), str(self)))


def resize(
    image: NDArray[Any],
    output_shape: Sequence[int],
    order: int | None = 1,
    mode: str = "constant",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool = False,
    anti_aliasing_sigma: Any = None,
) -> NDArray[Any]:
    """Return `image` resized to `output_shape` by scikit-image's `resize`; booleans, too, which it rejects now."""
    from skimage.transform import resize as scale

    if image.dtype == bool:
        image = image.astype(np.float64)
    return scale(
        image, output_shape, order=order, mode=mode, cval=cval, clip=clip, preserve_range=preserve_range,
        anti_aliasing=anti_aliasing, anti_aliasing_sigma=anti_aliasing_sigma,
    )  # fmt: skip


def batch_slice(inputs: Any, graph_fn: Callable[..., Any], batch_size: int, names: Any = None) -> Any:
    """Apply `graph_fn` to each of the `batch_size` rows of the inputs [B, …], and stack its results: [B, …] each.

    Returns a tensor if `graph_fn` returns one, else a list. `names` is unused.
    """
    inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    rows = [graph_fn(*(tensor[number] for tensor in inputs)) for number in range(batch_size)]
    if not isinstance(rows[0], (list, tuple)):
        return tf.stack(rows)
    return [tf.stack(parts) for parts in zip(*rows, strict=True)]


def denorm_boxes_graph(boxes_: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Return boxes [..., 4] in fractions as int32 pixels of an image of shape (height, width), y2, x2 exclusive."""
    height, width = tf.unstack(tf.cast(shape[:2], tf.float32))
    scale = tf.stack([height, width, height, width]) - 1.0
    return tf.cast(tf.round(boxes_ * scale + tf.constant((0.0, 0.0, 1.0, 1.0))), tf.int32)


def parse_image_meta_graph(meta: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the columns of meta rows [B, 12 + NUM_CLASSES] by the names of `image_meta.compose_image_meta`."""
    names = ("image_id", "original_image_shape", "image_shape", "window", "scale")
    parts = dict(zip(names, tf.split(meta[:, :IMAGE_META_FIELDS], [1, 3, 3, 4, 1], axis=1), strict=True))
    parts |= {name: parts[name][:, 0] for name in ("image_id", "scale")}
    return {**parts, "active_class_ids": meta[:, IMAGE_META_FIELDS:]}


def trim_zeros_graph(boxes_: tf.Tensor, name: str = "trim_zeros") -> tuple[tf.Tensor, tf.Tensor]:
    """Return the rows of boxes [N, 4] that are not all zeros, and which these are, [N] bool."""
    is_box = tf.reduce_any(boxes_ != 0, axis=1)
    return tf.boolean_mask(boxes_, is_box, name=name), is_box


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "apply_box_deltas_graph": boxes.apply_deltas,
    "box_refinement_graph": boxes.deltas_between,
    "clip_boxes_graph": boxes.clip,
    "denorm_boxes_graph": denorm_boxes_graph,
    "norm_boxes_graph": boxes.to_fractions,
    "overlaps_graph": boxes.overlaps,
    "parse_image_meta_graph": parse_image_meta_graph,
    "smooth_l1_loss": losses.smooth_l1,
    "trim_zeros_graph": trim_zeros_graph,
}
"""Functions on tensors by their names in matterport's model.py."""

MOVED = {
    "BatchNorm": "ops.layers",
    "DetectionLayer": "network.detections.Detections",
    "DetectionTargetLayer": "network.detection_targets.DetectionTargets",
    "ProposalLayer": "network.proposals.Proposals",
    "PyramidROIAlign": "network.roi_pooling.PyramidPooling",
    "batch_pack_graph": "network.roi_pooling.SelectedRegions",
    "build_fpn_mask_graph": "network.heads.mask_head",
    "build_rpn_model": "network.heads.RegionProposalHead",
    "conv_block": "network.backbones",
    "detection_targets_graph": "network.detection_targets.DetectionTargets",
    "fpn_classifier_graph": "network.heads.class_head",
    "identity_block": "network.backbones",
    "log2_graph": "network.roi_pooling.pyramid_levels",
    "mold_mask": "nothing: it did nothing",
    "mrcnn_bbox_loss_graph": "network.losses.mrcnn_bbox_loss",
    "mrcnn_class_loss_graph": "network.losses.mrcnn_class_loss",
    "mrcnn_mask_loss_graph": "network.losses.mrcnn_mask_loss",
    "refine_detections_graph": "network.detections.Detections",
    "resnet_graph": "network.backbones.resnet",
    "rpn_bbox_loss_graph": "network.losses.rpn_bbox_loss",
    "rpn_class_loss_graph": "network.losses.rpn_class_loss",
    "rpn_graph": "network.heads.RegionProposalHead",
}
"""Parts of matterport's modules that built graphs of TensorFlow 1, and their replacements in this package."""


def lookup(module: str, name: str) -> Callable[..., Any]:
    """Return the function called `name` of matterport's `module`.

    Raises:
        AttributeError: there is none, or it no longer exists; the message names the replacement.
    """
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name in MOVED:
        raise AttributeError(f"{module}.{name} built a graph of TensorFlow 1; use mrcnn.{MOVED[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
