"""Pooling of regions of interest to features of a fixed size, from the pyramid level that matches their size."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops.convolution import targets_gpu
from mrcnn.ops.gradients import is_deterministic

FINEST, COARSEST = 2, 5
SAMPLES_A_CELL = 2
INSIDE = 1 - 1e-6
"""The last fraction that `crop_and_resize` samples: at 1 rounding decides whether it counts as inside the image."""

Sample = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int], tf.Tensor]
"""Features [B, H, W, C], regions [R, 4] in fractions, their images [R] and a size to crops [R, size, size, C]."""


class PyramidPooling(keras.layers.Layer):
    """Crops of regions from P2 … P5: by `crop_and_resize` as in matterport's code, or by `roi_align`."""

    def __init__(self, size: int, config: Config, **kwargs: Any) -> None:
        """Pool `size` × `size` cells a region."""
        super().__init__(dtype="float32", trainable=False, autocast=False, **kwargs)
        self._size, self._canonical = size, config.ROI_CANONICAL_SIZE
        self._aligned = config.ROI_POOLING == "roi_align"
        self.sample = crop_and_resize
        """The sampling function; `mrcnn.export` replaces it for runtimes without TensorFlow's operation."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return features [R, size, size, C] of regions [R, 4] in fractions, of the images with indices [R] int32.

        Inputs: regions, images, image_shape [2] in pixels, P2, P3, P4, P5 [B, H, W, C].
        """
        regions, images, image_shape, *pyramid = inputs
        regions = tf.stop_gradient(regions)
        levels = pyramid_levels(regions, image_shape, self._canonical)
        pooled, indices = [], []
        for level, features in enumerate(pyramid, start=FINEST):
            of_level = tf.where(levels == level)[:, 0]
            pooled.append(self._crops(features, tf.gather(regions, of_level), tf.gather(images, of_level)))
            indices.append(of_level)
        inverse = tf.argsort(tf.concat(indices, axis=0))
        return tf.gather(tf.concat(pooled, axis=0), inverse)

    def _crops(self, features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        if self._aligned:
            return roi_align(features, regions, images, self._size, self.sample)
        return self.sample(features, tf.minimum(regions, INSIDE), images, self._size)


def pyramid_levels(regions: tf.Tensor, image_shape: tf.Tensor, canonical: float = 224.0) -> tf.Tensor:
    """Return levels [R] int32 from 2 to 5 of regions [R, 4] in fractions of an image of (height, width, …) pixels.

    A square with a side of `canonical` pixels is pooled from P4, one of half the side from the next finer level (Lin et
    al. 2017, equation 1).
    """
    sides = (regions[:, 2:] - regions[:, :2]) * tf.cast(image_shape[:2], tf.float32)
    # padding has area 0, whose logarithm is not finite: it is assigned to the finest level
    area = tf.maximum(sides[:, 0] * sides[:, 1], 1e-6)
    level = 4 + tf.cast(tf.round(tf.math.log(tf.sqrt(area) / canonical) / tf.math.log(2.0)), tf.int32)
    return tf.clip_by_value(level, FINEST, COARSEST)


def crop_and_resize(features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor, size: int) -> tf.Tensor:
    """Return crops [R, size, size, C] float32 with one bilinear sample a cell, as tf.image.crop_and_resize."""
    features = tf.cast(features, tf.float32)
    if targets_gpu() and is_deterministic():
        return _deterministic_crops(features, regions, images, size)
    return tf.image.crop_and_resize(features, regions, images, (size, size))


def _deterministic_crops(features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor, size: int) -> tf.Tensor:
    """Return the same crops; their gradient is computed on the CPU, since it is not deterministic on GPUs."""

    @tf.custom_gradient
    def crop(whole: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            with tf.device("/CPU:0"):
                return tf.raw_ops.CropAndResizeGradImage(
                    grads=upstream, boxes=regions, box_ind=images, image_size=tf.shape(whole), T=tf.float32
                )

        return tf.image.crop_and_resize(whole, regions, images, (size, size)), gradient

    return crop(features)


def roi_align(
    features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor, size: int, sample: Sample = crop_and_resize
) -> tf.Tensor:
    """Return crops [R, size, size, C] float32, each cell the mean of 2 × 2 samples (He et al. 2017, section 3).

    Fractions measure from the centre of the first pixel to that of the last; samples lie at quarters of each cell.
    """
    fine = size * SAMPLES_A_CELL
    inset = (regions[:, 2:] - regions[:, :2]) / (2.0 * fine)
    inner = tf.concat([regions[:, :2] + inset, regions[:, 2:] - inset], axis=1)
    return tf.nn.avg_pool2d(sample(features, inner, images, fine), SAMPLES_A_CELL, SAMPLES_A_CELL, "VALID")


class FlattenedRegions(keras.layers.Layer):
    """Regions of all images in one list, with the index of the image of each."""

    def call(self, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return regions [B·N, 4] and image indices [B·N] int32 of regions [B, N, 4]."""
        batch, count = tf.unstack(tf.shape(regions)[:2])
        return tf.reshape(regions, (-1, 4)), tf.repeat(tf.range(batch), count)


class SelectedRegions(keras.layers.Layer):
    """The regions that count, so that a head computes nothing for the others."""

    STEP = 8
    """Their number is padded to a multiple of this, or to all regions, so that few shapes occur."""

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return regions [K, 4], images [K] int32, indices [K, 2] int64 (image, slot), counts [K] (0.0 for padding).

        Inputs: regions [B, N, 4], and values [B, N] above 0 for those that count. K is at least 1; padding repeats
        region 0 of image 0.
        """
        regions, counts = inputs
        where = tf.where(counts > 0)
        count = tf.shape(where)[0]
        # ONNX rounds the division of negative integers differently
        rounded = tf.maximum((count + self.STEP - 1) // self.STEP, 1) * self.STEP
        padding = tf.minimum(rounded, tf.size(counts)) - count
        is_real = tf.concat([tf.ones(count), tf.zeros(padding)], axis=0)
        where = tf.concat([where, tf.zeros((padding, 2), tf.int64)], axis=0)
        return tf.gather_nd(regions, where), tf.cast(where[:, 0], tf.int32), where, is_real
