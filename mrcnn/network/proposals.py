"""Proposals: the best-scored anchors, refined, without those that overlap a better one.

The convolutions that score anchors are in heads; what training makes of proposals is in targets.
"""

import keras
import numpy as np
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops import boxes
from mrcnn.ops.convolution import for_this_gpu

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)


class Proposals(keras.layers.Layer):
    """Anchors and their scores to a fixed number of proposals an image. Nothing is learned through it."""

    def __init__(self, count: int, config: Config, **kwargs):
        """Give `count` proposals an image, with the limits of `config`."""
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._count = count
        self._limit, self._overlap = config.PRE_NMS_LIMIT, config.RPN_NMS_THRESHOLD
        self._deviation = np.asarray(config.RPN_BBOX_STD_DEV, np.float32)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Proposals [B, count, 4] float32 in fractions of the image, best first, padded with zeros.

        Inputs: probabilities [B, A, 2] (background, object), deltas [B, A, 4] in units of RPN_BBOX_STD_DEV, and
        anchors [A, 4] or [B, A, 4] in fractions.
        """
        probabilities, deltas, anchors = (tf.stop_gradient(tensor) for tensor in inputs)
        scores, best = best_anchors(probabilities[:, :, 1], self._limit)
        deltas = tf.gather(deltas, best, batch_dims=1) * self._deviation
        anchors = tf.gather(anchors, best, batch_dims=anchors.shape.rank - 2)
        refined = boxes.clip(boxes.apply_deltas(anchors, deltas), tf.constant(WHOLE_IMAGE))
        return separate(refined, scores, self._count, self._overlap)

    def compute_output_shape(self, input_shape):
        """[B, count, 4]."""
        return (input_shape[0][0], self._count, 4)


def best_anchors(scores: tf.Tensor, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores [B, K] and indices [B, K] int32 of the K best anchors, best first; K is `limit` or all there are."""
    count = tf.minimum(limit, tf.shape(scores)[1])
    return tf.math.top_k(scores, k=count)


def separate(candidates: tf.Tensor, scores: tf.Tensor, count: int, overlap: float) -> tf.Tensor:
    """At most `count` of the candidates [B, N, 4], best first, none overlapping a better one by more than `overlap`.

    Returns [B, count, 4] float32, padded with zeros; scores are [B, N].
    """
    if for_this_gpu():
        return _separate_each(candidates, scores, count, overlap)
    kept = tf.image.combined_non_max_suppression(
        candidates[:, :, None], scores[:, :, None], count, count, iou_threshold=overlap, clip_boxes=False
    )
    return tf.ensure_shape(kept.nmsed_boxes, (None, count, 4))


def _separate_each(candidates: tf.Tensor, scores: tf.Tensor, count: int, overlap: float) -> tf.Tensor:
    """The same image by image: TensorFlow has the operation for many images on CPUs only, and a GPU would wait."""

    def of_one(image: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        kept = tf.gather(image[0], tf.image.non_max_suppression(*image, count, overlap))
        return tf.ensure_shape(tf.pad(kept, [[0, count - tf.shape(kept)[0]], [0, 0]]), (count, 4))

    return tf.map_fn(of_one, (candidates, scores), fn_output_signature=tf.TensorSpec((count, 4), tf.float32))
