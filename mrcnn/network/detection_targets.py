"""Detection targets: regions of interest sampled for training, with their class, deltas and mask."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops import boxes

CROWD_COVER = 0.5
"""A region with at least this share of its area in a crowd is not a negative example."""


class DetectionTargets(keras.layers.Layer):
    """Regions sampled from proposals, positives first, with the targets of the three heads."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        """Sample TRAIN_ROIS_PER_IMAGE regions an image; the sample depends on SEED and `step` only."""
        super().__init__(dtype="float32", trainable=False, autocast=False, **kwargs)
        self._config = config
        self._positives, self._total = config.positive_rois_per_image, config.TRAIN_ROIS_PER_IMAGE
        self._deviation = np.asarray(config.BBOX_STD_DEV, np.float32)

    def build(self, input_shape: Any) -> None:
        """Create the step counter that seeds the random sample."""
        self.step = self.add_weight(
            (), "zeros", name="step", dtype="int64", trainable=False, aggregation="only_first_replica"
        )

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return regions [B, T, 4] in fractions, class_ids [B, T] int32, deltas [B, T, 4], masks [B, P, h, w] float32.

        Positives come first, at most P of T an image; then negatives (class 0), then zeros. Inputs: proposals
        [B, N, 4] in fractions padded with zeros, gt_class_ids [B, G] (negative: crowd; 0: padding), gt_boxes
        [B, G, 4] in pixels, gt_masks [B, h, w, G] from 0 to 1, image_shape [2] in pixels.
        """
        proposals, class_ids, gt_boxes, gt_masks, image_shape = inputs
        gt_boxes = boxes.to_fractions(gt_boxes, image_shape) * tf.cast(class_ids != 0, tf.float32)[..., None]
        objects = gt_boxes * tf.cast(class_ids > 0, tf.float32)[..., None]
        proposals = tf.stop_gradient(self._with_ground_truth(proposals, objects))
        overlap = boxes.overlaps(proposals, objects)
        positive, negative = self._labels(proposals, overlap, gt_boxes, class_ids)
        sample, is_positive, is_region = self._sample(positive, negative)
        regions = tf.gather(proposals, sample, batch_dims=1) * tf.cast(is_region, tf.float32)[..., None]
        match = tf.argmax(tf.gather(overlap, sample, batch_dims=1), axis=2, output_type=tf.int32)
        roi_class_ids = tf.where(is_positive, tf.gather(class_ids, match, batch_dims=1), 0)
        matched = tf.gather(objects, match, batch_dims=1)
        deltas = self._deltas(regions, matched, is_positive)
        front = self._positives
        masks = self._masks(regions[:, :front], matched[:, :front], match[:, :front], is_positive[:, :front], gt_masks)
        return regions, roi_class_ids, deltas, masks

    def _with_ground_truth(self, proposals: tf.Tensor, objects: tf.Tensor) -> tf.Tensor:
        copies = [proposals]
        for copy in range(self._config.ROI_GROUND_TRUTH_COPIES):
            copies.append(objects if copy == 0 else self._jittered(objects, copy))
        return tf.concat(copies, axis=1)

    def _jittered(self, objects: tf.Tensor, copy: int) -> tf.Tensor:
        limit = self._config.ROI_GROUND_TRUTH_JITTER
        deltas = limit * (2.0 * self._random(tf.shape(objects), stream=copy) - 1.0)
        return boxes.clip(boxes.apply_deltas(objects, deltas), tf.constant((0.0, 0.0, 1.0, 1.0)))

    def _random(self, shape: tf.Tensor, stream: int) -> tf.Tensor:
        seed = tf.stack([tf.constant(self._config.SEED * 1000 + stream, tf.int64), tf.convert_to_tensor(self.step)])
        return tf.random.stateless_uniform(shape, seed)

    def _labels(
        self, proposals: tf.Tensor, overlap: tf.Tensor, gt_boxes: tf.Tensor, class_ids: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return which proposals [B, N, 4] are positive and which negative, [B, N] bool each, by IoU [B, N, G]."""
        best = tf.reduce_max(overlap, axis=2)
        is_proposal = tf.reduce_any(proposals != 0.0, axis=2)
        crowds = gt_boxes * tf.cast(class_ids < 0, tf.float32)[..., None]
        in_crowd = tf.reduce_max(boxes.covered(proposals, crowds), axis=2) >= CROWD_COVER
        positive = is_proposal & (best >= self._config.ROI_POSITIVE_IOU)
        return positive, is_proposal & ~positive & ~in_crowd

    def _sample(self, positive: tf.Tensor, negative: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return indices [B, T] of sampled proposals, which are positive [B, T] and which are not padding [B, T]."""
        priority = self._random(tf.shape(positive), stream=100)
        is_positive, positives = _sample_where(positive, priority, self._positives)
        is_negative, negatives = _sample_where(negative, priority, self._total)
        count = tf.reduce_sum(tf.cast(is_positive, tf.int32), axis=1)
        limit = self._negative_limit(count)
        is_negative &= tf.range(tf.shape(negatives)[1]) < limit[:, None]
        is_region = tf.concat([is_positive, is_negative], axis=1)
        front = tf.argsort(tf.cast(~is_region, tf.int32), axis=1, stable=True)[:, : self._total]
        sample = tf.gather(tf.concat([positives, negatives], axis=1), front, batch_dims=1)
        is_region = tf.gather(is_region, front, batch_dims=1)
        sample, is_region = self._padded(sample), self._padded(is_region)
        return sample, is_region & (tf.range(self._total) < count[:, None]), is_region

    def _negative_limit(self, positives: tf.Tensor) -> tf.Tensor:
        """Return the largest number of negatives [B] int32 of an image with `positives` [B] positives."""
        rest = self._total - positives
        if self._config.ROI_FILL_WITH_NEGATIVES:
            return rest
        ratio = 1.0 / self._config.ROI_POSITIVE_RATIO
        in_proportion = tf.cast(ratio * tf.cast(positives, tf.float32), tf.int32) - positives
        return tf.where(positives == 0, rest, in_proportion)

    def _padded(self, values: tf.Tensor) -> tf.Tensor:
        missing = self._total - tf.shape(values)[1]
        return tf.ensure_shape(tf.pad(values, [[0, 0], [0, missing]]), (None, self._total))

    def _deltas(self, regions: tf.Tensor, matched: tf.Tensor, is_positive: tf.Tensor) -> tf.Tensor:
        """Return deltas [B, T, 4] float32 from regions to matched objects, over BBOX_STD_DEV; zeros for negatives."""
        unit = tf.constant((0.0, 0.0, 1.0, 1.0))
        regions = tf.where(is_positive[..., None], regions, unit)
        matched = tf.where(is_positive[..., None], matched, unit)
        return boxes.deltas_between(regions, matched) / self._deviation

    def _masks(
        self, regions: tf.Tensor, matched: tf.Tensor, match: tf.Tensor, is_positive: tf.Tensor, gt_masks: tf.Tensor
    ) -> tf.Tensor:
        """Return each positive region's crop of its object's mask, resized and rounded, [B, P, *MASK_SHAPE]."""
        if self._config.USE_MINI_MASK:
            size = tf.maximum(matched[..., 2:] - matched[..., :2], 1e-6)
            origin = tf.concat([matched[..., :2], matched[..., :2]], axis=-1)
            regions = (regions - origin) / tf.concat([size, size], axis=-1)
        masks = tf.gather(tf.transpose(gt_masks, (0, 3, 1, 2)), match, batch_dims=1)
        shape = tf.shape(masks)
        flat = tf.cast(tf.reshape(masks, (-1, shape[2], shape[3], 1)), tf.float32)
        crops = tf.image.crop_and_resize(
            flat, tf.reshape(regions, (-1, 4)), tf.range(tf.shape(flat)[0]), self._config.MASK_SHAPE
        )
        crops = tf.round(tf.reshape(crops, (-1, self._positives, *self._config.MASK_SHAPE)))
        return crops * tf.cast(is_positive, tf.float32)[..., None, None]


def _sample_where(condition: tf.Tensor, priority: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return indices [B, K] of up to `count` true elements of [B, N], largest priority first, and which are valid."""
    count = tf.minimum(count, tf.shape(condition)[1])
    keys, indices = tf.math.top_k(tf.where(condition, priority, -1.0), k=count)
    return keys >= 0.0, indices
