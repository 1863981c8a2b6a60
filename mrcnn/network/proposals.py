"""Region proposals: the anchors with the highest scores, refined, after non-maximum suppression."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops import boxes
from mrcnn.ops.convolution import targets_gpu

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)


class Proposals(keras.layers.Layer):
    """A fixed number of proposals an image from all anchors; has no gradient."""

    def __init__(self, count: int, config: Config, **kwargs: Any) -> None:
        """Return `count` proposals an image, with the thresholds of `config`."""
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._count = count
        self._limit, self._overlap = config.PRE_NMS_LIMIT, config.RPN_NMS_THRESHOLD
        self._deviation = np.asarray(config.RPN_BBOX_STD_DEV, np.float32)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return proposals [B, count, 4] float32 in fractions of the image, best first, padded with zeros.

        Inputs: probabilities [B, A, 2] (background, object), deltas [B, A, 4] in units of RPN_BBOX_STD_DEV, and
        anchors [A, 4] or [B, A, 4] in fractions.
        """
        probabilities, deltas, anchors = (tf.stop_gradient(tensor) for tensor in inputs)
        scores, best = top_anchors(probabilities[:, :, 1], self._limit)
        deltas = tf.gather(deltas, best, batch_dims=1) * self._deviation
        anchors = tf.gather(anchors, best, batch_dims=anchors.shape.rank - 2)
        refined = boxes.clip(boxes.apply_deltas(anchors, deltas), tf.constant(WHOLE_IMAGE))
        return suppress_overlaps(refined, scores, self._count, self._overlap)


def top_anchors(scores: tf.Tensor, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return scores [B, K] and indices [B, K] int32 of the best anchors, best first; K is at most `limit`."""
    count = tf.minimum(limit, tf.shape(scores)[1])
    return tf.math.top_k(scores, k=count)


def suppress_overlaps(candidates: tf.Tensor, scores: tf.Tensor, count: int, overlap: float) -> tf.Tensor:
    """Apply non-maximum suppression at IoU `overlap` to candidates [B, N, 4] with scores [B, N].

    Returns at most `count` an image, [B, count, 4] float32, best first, padded with zeros.
    """
    if targets_gpu():
        return _suppress_by_image(candidates, scores, count, overlap)
    kept = tf.image.combined_non_max_suppression(
        candidates[:, :, None], scores[:, :, None], count, count, iou_threshold=overlap, clip_boxes=False
    )
    return tf.ensure_shape(kept.nmsed_boxes, (None, count, 4))


def _suppress_by_image(candidates: tf.Tensor, scores: tf.Tensor, count: int, overlap: float) -> tf.Tensor:
    """Return the same, image by image: TensorFlow has no GPU kernel of the operation for batches."""

    def of_one(image: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        kept = tf.gather(image[0], tf.image.non_max_suppression(*image, count, overlap))
        return tf.ensure_shape(tf.pad(kept, [[0, count - tf.shape(kept)[0]], [0, 0]]), (count, 4))

    return tf.map_fn(of_one, (candidates, scores), fn_output_signature=tf.TensorSpec((count, 4), tf.float32))
