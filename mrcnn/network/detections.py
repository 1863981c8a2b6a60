"""Detections: classified regions refined, the good ones kept, and told in pixels of the original image.

The convolutions before and the pasting of masks afterwards (masks) are elsewhere.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.data.image_meta import parse_image_meta
from mrcnn.ops import boxes
from mrcnn.shapes.boxes import denorm_boxes, norm_boxes

FIELDS = 6
"""Numbers of a detection: y1, x1, y2, x2 (fractions of the network's input), class id, score."""


class Detections(keras.layers.Layer):
    """Each region becomes a detection of its likeliest class, unless weak, background, or overlapping a better one."""

    def __init__(self, config: Config, **kwargs):
        """Keep at most DETECTION_MAX_INSTANCES an image."""
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._most, self._least_score = config.DETECTION_MAX_INSTANCES, config.DETECTION_MIN_CONFIDENCE
        self._overlap = config.DETECTION_NMS_THRESHOLD
        self._deviation = np.asarray(config.BBOX_STD_DEV, np.float32)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Detections [B, most, 6] float32 (y1, x1, y2, x2 in fractions, class id, score), best first, then zeros.

        Inputs: regions [B, N, 4] in fractions (zeros are padding), probabilities [B, N, C], deltas [B, N, C, 4],
        image_meta [B, M].
        """
        regions, probabilities, deltas, meta = inputs
        class_ids = tf.argmax(probabilities, axis=2, output_type=tf.int32)
        scores = tf.reduce_max(probabilities, axis=2)
        deltas = tf.gather(deltas, class_ids, batch_dims=2) * self._deviation
        window = boxes.to_fractions(meta[:, 7:11], meta[0, 4:6])[:, None]
        refined = boxes.clip(boxes.apply_deltas(regions, deltas), window)
        kept = (class_ids > 0) & (scores >= self._least_score) & (boxes.areas(regions) > 0)
        return self._without_overlaps(refined, tf.where(kept, scores, -1.0), class_ids, probabilities.shape[2])

    def _without_overlaps(self, refined, scores, class_ids, classes: int) -> tf.Tensor:
        if classes == 1:
            return tf.zeros((tf.shape(refined)[0], self._most, FIELDS))
        # not a boolean one_hot, which ONNX has not
        by_class = tf.where(class_ids[..., None] == tf.range(1, classes), scores[..., None], -1.0)
        kept = tf.image.combined_non_max_suppression(
            refined[:, :, None], by_class, self._most, self._most, self._overlap, -0.5, clip_boxes=False
        )
        there = tf.cast(tf.range(self._most) < kept.valid_detections[:, None], tf.float32)
        found = tf.concat(
            [kept.nmsed_boxes, (kept.nmsed_classes + 1.0)[..., None], kept.nmsed_scores[..., None]], axis=2
        )
        return tf.ensure_shape(found * there[..., None], (None, self._most, FIELDS))

    def compute_output_shape(self, input_shape):
        """[B, most, 6]."""
        return (input_shape[0][0], self._most, FIELDS)


class SpreadMasks(keras.layers.Layer):
    """Masks of the detections that are there, put back into the slots of all that could be."""

    def __init__(self, config: Config, **kwargs):
        """Make DETECTION_MAX_INSTANCES slots an image."""
        super().__init__(dtype="float32", trainable=False, autocast=False, **kwargs)
        self._slots = config.DETECTION_MAX_INSTANCES

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Masks [B, slots, h, w, C] of masks [K, h, w, C], where [K, 2], counts [K], and detections [B, slots, 6]."""
        masks, where, counts, detections = inputs
        shape = tf.concat([tf.shape(detections)[:2], tf.shape(masks)[1:]], axis=0)
        # those that count come first; the filling behind them names slot 0, which ONNX would overwrite
        real = tf.cast(tf.reduce_sum(counts), tf.int32)
        return tf.scatter_nd(where[:real], masks[:real], tf.cast(shape, tf.int64))

    def compute_output_shape(self, input_shape):
        """[B, slots, h, w, C]."""
        return (input_shape[3][0], self._slots, *input_shape[0][1:])


@dataclass(frozen=True)
class ImageDetections:
    """What was found in one image, in its own pixels."""

    rois: NDArray[np.int32]
    """[N, 4] (y1, x1, y2, x2) in pixels, the end outside."""
    class_ids: NDArray[np.int32]
    """[N]"""
    scores: NDArray[np.float32]
    """[N]"""
    masks: NDArray[np.float32]
    """[N, h, w] probabilities within each box."""


def unmold(detections: NDArray[np.float32], masks: NDArray[np.float32], meta: NDArray[np.float32]) -> ImageDetections:
    """Detections in pixels of the original image; those whose box has no pixel are left out.

    Args:
        detections: [slots, 6], as `Detections` gives them.
        masks: [slots, h, w, C] probabilities, of which each detection's class is taken.
        meta: [M], the image's meta row.
    """
    parts = {name: value[0] for name, value in parse_image_meta(meta[None]).items()}
    return unmold_in_window(detections, masks, parts["original_image_shape"], parts["image_shape"], parts["window"])


def unmold_in_window(detections, masks, original_shape, image_shape, window) -> ImageDetections:
    """As `unmold`, of detections [slots, 6] and masks [slots, h, w, C], the image's place given.

    That is shapes (height, width, …) and window (y1, x1, y2, x2) of the image, all in pixels.
    """
    there = np.flatnonzero(detections[:, 4] > 0)
    detections, masks = detections[there], masks[there]
    class_ids = detections[:, 4].astype(np.int32)
    y1, x1, y2, x2 = norm_boxes(np.asarray(window), tuple(image_shape[:2]))
    fractions = (detections[:, :4] - np.array([y1, x1, y1, x1])) / np.array([y2 - y1, x2 - x1, y2 - y1, x2 - x1])
    rois = denorm_boxes(fractions, tuple(original_shape[:2]))
    full = np.flatnonzero((rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1]))
    of_class = masks[full, :, :, class_ids[full]]
    return ImageDetections(rois[full], class_ids[full], detections[full, 5], of_class)
