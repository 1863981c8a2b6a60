"""Detection in a picture of any size as one graph: what `MaskRCNN.detect` does around the network is in it, too."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.data.resizing import PAD_MULTIPLE, UNTRUNCATED
from mrcnn.model import MaskRCNN
from mrcnn.network.anchors import Anchors
from mrcnn.ops import resampling
from mrcnn.ops.convolution import portable_operations
from mrcnn.shapes.boxes import FRACTION_SHIFT

OUTPUTS = ("boxes", "class_ids", "scores", "masks")


class Placement(NamedTuple):
    """Placement of a picture in the network's input, as `resizing.Frame`; all are tensors (height, width) int32."""

    source: tf.Tensor
    size: tf.Tensor
    """Size of the picture after scaling."""
    offset: tf.Tensor
    """(top, left) of the scaled picture in the input."""
    shape: tf.Tensor
    """Size of the input."""
    scale: tf.Tensor
    """[] float64."""


def picture_function(mask_rcnn: MaskRCNN, min_scores: Sequence[float]) -> Any:
    """Return a tf.function from a picture to what `detect` finds in it.

    It takes `image` [H, W, C] uint8 RGB of any size, and returns a dict, best score first, of `boxes` [N, 4] float32
    (x1, y1, x2, y2 in pixels of the picture, x2 and y2 exclusive), `class_ids` [N] int32, `scores` [N] float32 and
    `masks` [N, H, W] bool.

    Args:
        mask_rcnn: a model of mode "inference".
        min_scores: for each class, background first, the least score of a detection that is returned.

    Raises:
        ValueError: the model's mode is wrong, or its backbone is a callable, which has anchors for a fixed size only.
    """
    config = mask_rcnn.config
    if mask_rcnn.mode != "inference":
        raise ValueError(f"a model of mode {mask_rcnn.mode!r} can't be exported: create it with mode='inference'")
    if callable(config.BACKBONE):
        raise ValueError("a backbone of your own has anchors for a fixed size only: export_onnx takes such a size")
    anchors = Anchors(config)

    signature = [tf.TensorSpec((None, None, config.IMAGE_CHANNEL_COUNT), tf.uint8, name="image")]

    @tf.function(input_signature=signature, autograph=False)
    def detect(image: tf.Tensor) -> dict[str, tf.Tensor]:
        placement = placement_of(tf.shape(image)[:2], config)
        resized = resized_picture(image, placement, config)
        levels = [resampling.divided_up(placement.shape, stride) for stride in config.BACKBONE_STRIDES]
        inputs = [resized[None], _meta(placement, config)[None], anchors.in_fractions(levels, placement.shape)[None]]
        with portable_operations():
            outputs = mask_rcnn.keras_model(inputs, training=False)
        return _in_pixels(outputs[0][0], outputs[3][0], placement, tf.constant(min_scores, tf.float32))

    return detect


def placement_of(source: tf.Tensor, config: Config) -> Placement:
    """Return the placement of a picture of `source` [2] (height, width), as `resizing.frame_for` for detection."""
    mode = config.IMAGE_RESIZE_MODE
    scale = _scale(tf.cast(source, tf.float64), config)
    size = tf.maximum(tf.cast(tf.round(tf.cast(source, tf.float64) * scale), tf.int32), 1)
    multiple = PAD_MULTIPLE.get("pad32" if mode == "crop" else mode, 1)
    is_square = mode == "square"
    shape = tf.constant([config.IMAGE_MAX_DIM] * 2) if is_square else resampling.divided_up(size, multiple) * multiple
    return Placement(source, size, (shape - size) // 2, shape, scale)


def _scale(source: tf.Tensor, config: Config) -> tf.Tensor:
    """Return the scale factor, [] float64, of a picture of `source` [2] float64, as `resizing.scale_for`."""
    mode, scale = config.IMAGE_RESIZE_MODE, tf.constant(1.0, tf.float64)
    if mode == "none":
        return scale
    if config.IMAGE_MIN_DIM:
        scale = tf.maximum(scale, config.IMAGE_MIN_DIM / tf.reduce_min(source))
    if config.IMAGE_MIN_SCALE:
        scale = tf.maximum(scale, config.IMAGE_MIN_SCALE)
    if config.IMAGE_MAX_DIM and (mode == "square" or (mode in PAD_MULTIPLE and config.IMAGE_PAD_BOUNDED)):
        longest = tf.reduce_max(source)
        scale = tf.where(tf.round(longest * scale) > config.IMAGE_MAX_DIM, config.IMAGE_MAX_DIM / longest, scale)
    return scale


def resized_picture(image: tf.Tensor, placement: Placement, config: Config) -> tf.Tensor:
    """Return the network's input [h, w, C] uint8, as `resizing.resize_for`: scaled, truncated, padded with zeros."""
    if config.FAST_DECODE:
        fits = [tf.reduce_all(placement.source >= by * placement.size) for by in (2, 4, 8)]
        by = 2 ** tf.reduce_sum(tf.cast(tf.stack(fits), tf.int32))
        image = tf.cond(by > 1, lambda: resampling.mean_of_blocks(image, by), lambda: image)
    scaled = tf.cast(resampling.linear(image, placement.size) + UNTRUNCATED, tf.uint8)
    top, left = tf.unstack(placement.offset)
    bottom, right = tf.unstack(placement.shape - placement.size - placement.offset)
    return tf.pad(scaled, [[top, bottom], [left, right], [0, 0]])


def _meta(placement: Placement, config: Config) -> tf.Tensor:
    """Return the meta row of a picture, [12 + NUM_CLASSES] float32, as `image_meta.compose_image_meta`."""
    channels, window = [config.IMAGE_CHANNEL_COUNT], _window(placement)
    numbers = tf.concat([[0], placement.source, channels, placement.shape, channels, window], axis=0)
    scale = tf.cast(placement.scale, tf.float32)[None]
    return tf.concat([tf.cast(numbers, tf.float32), scale, tf.zeros(config.NUM_CLASSES)], axis=0)


def _window(placement: Placement) -> tf.Tensor:
    """Return (y1, x1, y2, x2) of the picture in the input, [4] int32, in pixels."""
    return tf.concat([placement.offset, placement.offset + placement.size], axis=0)


def _in_pixels(
    detections: tf.Tensor, masks: tf.Tensor, placement: Placement, min_scores: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return what `detections.unmold` and `masks.unmold_masks` make of detections [D, 6] and masks [D, h, w, C]."""
    boxes = _boxes_in_pixels(detections[:, :4], placement)
    class_ids, scores = tf.cast(detections[:, 4], tf.int32), detections[:, 5]
    has_pixels = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    kept = tf.where((class_ids > 0) & has_pixels & (scores >= tf.gather(min_scores, class_ids)))[:, 0]
    boxes, class_ids, scores, masks = (tf.gather(each, kept) for each in (boxes, class_ids, scores, masks))
    of_class = tf.gather(masks, class_ids, axis=3, batch_dims=1)
    return {
        "boxes": tf.cast(tf.gather(boxes, (1, 0, 3, 2), axis=1), tf.float32),
        "class_ids": class_ids,
        "scores": scores,
        "masks": resampling.pasted_masks(of_class, boxes, placement.source),
    }


def _boxes_in_pixels(fractions: tf.Tensor, placement: Placement) -> tf.Tensor:
    """Return boxes [D, 4] int32 (y1, x1, y2, x2) in pixels of the picture, of fractions [D, 4] of the input."""
    shift = np.asarray(FRACTION_SHIFT)
    whole = tf.cast(tf.tile(placement.shape - 1, (2,)), tf.float64)
    window = tf.cast((tf.cast(_window(placement), tf.float64) - shift) / whole, tf.float32)
    low, high = tf.tile(window[:2], (2,)), tf.tile(window[2:], (2,))
    within = tf.cast((fractions - low) / (high - low), tf.float64)
    return tf.cast(tf.round(within * tf.cast(tf.tile(placement.source - 1, (2,)), tf.float64) + shift), tf.int32)
