"""Detections: classified regions, refined, filtered by score and overlap, and converted to pixels of the image."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.data.image_meta import parse_image_meta
from mrcnn.ops import boxes
from mrcnn.shapes.boxes import denorm_boxes, norm_boxes

FIELDS = 6
"""Values of a detection: y1, x1, y2, x2 (fractions of the network's input), class id, score."""


class Detections(keras.layers.Layer):
    """Regions of interest, classified as their most probable class, after a score threshold and NMS by class."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        """Return DETECTION_MAX_INSTANCES an image, with the thresholds of `config`."""
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._count, self._min_score = config.DETECTION_MAX_INSTANCES, config.DETECTION_MIN_CONFIDENCE
        self._iou_threshold = config.DETECTION_NMS_THRESHOLD
        self._deviation = np.asarray(config.BBOX_STD_DEV, np.float32)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return detections [B, D, 6] float32 (y1, x1, y2, x2 in fractions, class id, score), best first, then zeros.

        Inputs: regions [B, N, 4] in fractions (zeros are padding), probabilities [B, N, C], deltas [B, N, C, 4],
        image_meta [B, M].
        """
        regions, probabilities, deltas, meta = inputs
        class_ids = tf.argmax(probabilities, axis=2, output_type=tf.int32)
        scores = tf.reduce_max(probabilities, axis=2)
        deltas = tf.gather(deltas, class_ids, batch_dims=2) * self._deviation
        window = boxes.to_fractions(meta[:, 7:11], meta[0, 4:6])[:, None]
        refined = boxes.clip(boxes.apply_deltas(regions, deltas), window)
        kept = (class_ids > 0) & (scores >= self._min_score) & (boxes.areas(regions) > 0)
        return self._suppressed(refined, tf.where(kept, scores, -1.0), class_ids, probabilities.shape[2])

    def _suppressed(self, refined: tf.Tensor, scores: tf.Tensor, class_ids: tf.Tensor, classes: int) -> tf.Tensor:
        if classes == 1:
            return tf.zeros((tf.shape(refined)[0], self._count, FIELDS))
        # not a boolean one_hot, which ONNX does not have
        by_class = tf.where(class_ids[..., None] == tf.range(1, classes), scores[..., None], -1.0)
        kept = tf.image.combined_non_max_suppression(
            refined[:, :, None], by_class, self._count, self._count, self._iou_threshold, -0.5, clip_boxes=False
        )
        is_valid = tf.cast(tf.range(self._count) < kept.valid_detections[:, None], tf.float32)
        detections = tf.concat(
            [kept.nmsed_boxes, (kept.nmsed_classes + 1.0)[..., None], kept.nmsed_scores[..., None]], axis=2
        )
        return tf.ensure_shape(detections * is_valid[..., None], (None, self._count, FIELDS))


class ScatteredMasks(keras.layers.Layer):
    """Masks of the real detections, scattered to the slots of DETECTION_MAX_INSTANCES an image."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        """Take DETECTION_MAX_INSTANCES of `config`."""
        super().__init__(dtype="float32", trainable=False, autocast=False, **kwargs)
        self._slots = config.DETECTION_MAX_INSTANCES

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return [B, slots, h, w, C] of masks [K, h, w, C], where [K, 2], counts [K] and detections [B, slots, 6]."""
        masks, where, counts, detections = inputs
        shape = tf.concat([tf.shape(detections)[:2], tf.shape(masks)[1:]], axis=0)
        # without the padding, which follows the real ones and has index 0: ONNX would overwrite slot 0
        real = tf.cast(tf.reduce_sum(counts), tf.int32)
        return tf.scatter_nd(where[:real], masks[:real], tf.cast(shape, tf.int64))


@dataclass(frozen=True)
class ImageDetections:
    """Detections in one image."""

    rois: NDArray[np.int32]
    """[N, 4] (y1, x1, y2, x2) in pixels of the image, y2 and x2 exclusive."""
    class_ids: NDArray[np.int32]
    """[N]"""
    scores: NDArray[np.float32]
    """[N]"""
    masks: NDArray[np.float32]
    """[N, h, w] probabilities within the boxes."""


def unmold(detections: NDArray[np.float32], masks: NDArray[np.float32], meta: NDArray[np.float32]) -> ImageDetections:
    """Return detections in pixels of the original image, without those whose box has no pixel.

    Args:
        detections: [slots, 6], as returned by `Detections`.
        masks: [slots, h, w, C] probabilities by class.
        meta: [M], the image's meta row.
    """
    parts = {name: value[0] for name, value in parse_image_meta(meta[None]).items()}
    return unmold_in_window(detections, masks, parts["original_image_shape"], parts["image_shape"], parts["window"])


def unmold_in_window(
    detections: NDArray[np.float32], masks: NDArray[np.float32], original_shape: Any, image_shape: Any, window: Any
) -> ImageDetections:
    """Return the same as `unmold`, with the values of the meta row as arguments.

    These are the shapes (height, width, …) before and after resizing, and the window (y1, x1, y2, x2), in pixels.
    """
    real = np.flatnonzero(detections[:, 4] > 0)
    detections, masks = detections[real], masks[real]
    class_ids = detections[:, 4].astype(np.int32)
    y1, x1, y2, x2 = norm_boxes(np.asarray(window), tuple(image_shape[:2]))
    fractions = (detections[:, :4] - np.array([y1, x1, y1, x1])) / np.array([y2 - y1, x2 - x1, y2 - y1, x2 - x1])
    rois = denorm_boxes(fractions, tuple(original_shape[:2]))
    kept = np.flatnonzero((rois[:, 2] > rois[:, 0]) & (rois[:, 3] > rois[:, 1]))
    return ImageDetections(rois[kept], class_ids[kept], detections[kept, 5], masks[kept, :, :, class_ids[kept]])
