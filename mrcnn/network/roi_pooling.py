"""Regions of interest to features of a fixed size, each from the pyramid level that suits its size.

Choosing regions is in proposals and targets.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops.convolution import for_this_gpu
from mrcnn.ops.gradient_order import is_deterministic

FINEST, COARSEST = 2, 5
SAMPLES_A_CELL = 2

Sample = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int], tf.Tensor]
"""Features [B, H, W, C], regions [R, 4] in fractions, their images [R] and a size to crops [R, size, size, C]."""


class PyramidPooling(keras.layers.Layer):
    """Crops of regions from P2 … P5: `crop_and_resize` as the original, or `roi_align` for new networks."""

    def __init__(self, size: int, config: Config, **kwargs):
        """Pool `size` × `size` cells a region."""
        super().__init__(dtype="float32", trainable=False, autocast=False, **kwargs)
        self._size, self._canonical = size, config.ROI_CANONICAL_SIZE
        self._aligned = config.ROI_POOLING == "roi_align"
        self.sample = crop_and_resize
        """How crops are sampled; export replaces it where TensorFlow's operation does not exist."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Features [R, size, size, C] of regions [R, 4] in fractions, each of the image that `images` [R] int32 names.

        Inputs: regions, images, image_shape [2] in pixels, P2, P3, P4, P5 [B, H, W, C].
        """
        regions, images, image_shape, *pyramid = inputs
        regions = tf.stop_gradient(regions)
        levels = pyramid_levels(regions, image_shape, self._canonical)
        pooled, order = [], []
        for level, features in enumerate(pyramid, start=FINEST):
            chosen = tf.where(levels == level)[:, 0]
            pooled.append(self._crops(features, tf.gather(regions, chosen), tf.gather(images, chosen)))
            order.append(chosen)
        back = tf.argsort(tf.concat(order, axis=0))
        return tf.gather(tf.concat(pooled, axis=0), back)

    def _crops(self, features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        if self._aligned:
            return roi_align(features, regions, images, self._size, self.sample)
        return self.sample(features, regions, images, self._size)

    def compute_output_shape(self, input_shape):
        """[R, size, size, C]."""
        return (input_shape[0][0], self._size, self._size, input_shape[3][-1])


def pyramid_levels(regions: tf.Tensor, image_shape: tf.Tensor, canonical: float = 224.0) -> tf.Tensor:
    """Levels [R] int32 from 2 to 5 for regions [R, 4] in fractions of an image of (height, width, …) pixels.

    A square of `canonical` pixels belongs to P4; half the side is one level finer (Lin et al. 2017, equation 1).
    """
    sides = (regions[:, 2:] - regions[:, :2]) * tf.cast(image_shape[:2], tf.float32)
    # an empty (padded) region has no logarithm: as small as can be, it goes to the finest level
    area = tf.maximum(sides[:, 0] * sides[:, 1], 1e-6)
    level = 4 + tf.cast(tf.round(tf.math.log(tf.sqrt(area) / canonical) / tf.math.log(2.0)), tf.int32)
    return tf.clip_by_value(level, FINEST, COARSEST)


def crop_and_resize(features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor, size: int) -> tf.Tensor:
    """Crops [R, size, size, C] float32 by one bilinear sample a cell, as TensorFlow's operation of that name."""
    features = tf.cast(features, tf.float32)
    if for_this_gpu() and is_deterministic():
        return _with_ordered_gradient(features, regions, images, size)
    return tf.image.crop_and_resize(features, regions, images, (size, size))


def _with_ordered_gradient(features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor, size: int) -> tf.Tensor:
    """The same crops; the processor adds up their gradient, for which TensorFlow has no fixed order on GPUs."""

    @tf.custom_gradient
    def crop(whole: tf.Tensor):
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
    """Crops [R, size, size, C] float32, each cell the mean of 2 × 2 bilinear samples (He et al. 2017, section 3).

    Regions count from the first pixel's centre to the last one's, so samples lie at quarters of each cell.
    """
    fine = size * SAMPLES_A_CELL
    inset = (regions[:, 2:] - regions[:, :2]) / (2.0 * fine)
    inner = tf.concat([regions[:, :2] + inset, regions[:, 2:] - inset], axis=1)
    return tf.nn.avg_pool2d(sample(features, inner, images, fine), SAMPLES_A_CELL, SAMPLES_A_CELL, "VALID")


class FlatRegions(keras.layers.Layer):
    """Regions of all images in one list, with the index of the image that each belongs to."""

    def call(self, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Regions [B, N, 4] to ([B·N, 4], [B·N] int32)."""
        batch, count = tf.unstack(tf.shape(regions)[:2])
        return tf.reshape(regions, (-1, 4)), tf.repeat(tf.range(batch), count)

    def compute_output_shape(self, input_shape):
        """([B·N, 4], [B·N])."""
        return (None, 4), (None,)

    def compute_output_spec(self, regions):
        """Regions keep their dtype, images are int32."""
        return keras.KerasTensor((None, 4), "float32"), keras.KerasTensor((None,), "int32")


class ChosenRegions(keras.layers.Layer):
    """Only those regions that count, so that a head does no work whose result would be thrown away."""

    STEP = 8
    """Counts are rounded up to this, or to all, so that few shapes occur; the filling is region 0 of image 0."""

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Regions [K, 4], their images [K] int32, where each stands [K, 2] int64 (image, slot), counts [K] 1.0 or 0.0.

        Inputs: regions [B, N, 4], and which of them count [B, N] (above 0). At least one comes back, counted or not.
        """
        regions, counts = inputs
        where = tf.where(counts > 0)
        found = tf.shape(where)[0]
        # division of positive numbers only: ONNX rounds that of negative ones elsewhere
        rounded = tf.maximum((found + self.STEP - 1) // self.STEP, 1) * self.STEP
        filling = tf.minimum(rounded, tf.size(counts)) - found
        real = tf.concat([tf.ones(found), tf.zeros(filling)], axis=0)
        where = tf.concat([where, tf.zeros((filling, 2), tf.int64)], axis=0)
        return tf.gather_nd(regions, where), tf.cast(where[:, 0], tf.int32), where, real

    def compute_output_spec(self, inputs):
        """K is known at run time only."""
        return (
            keras.KerasTensor((None, 4), "float32"),
            keras.KerasTensor((None,), "int32"),
            keras.KerasTensor((None, 2), "int64"),
            keras.KerasTensor((None,), "float32"),
        )
