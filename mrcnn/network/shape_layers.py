"""Layers that only rearrange: shapes, slices, gathering, fractions. Nothing is computed or learned here."""

import keras
import tensorflow as tf

from mrcnn.ops import boxes


class ImageShape(keras.layers.Layer):
    """Height and width of a batch's images in pixels."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """[2] int32 of images [B, H, W, C]."""
        return tf.shape(images)[1:3]

    def compute_output_spec(self, images):
        """[2] int32."""
        return keras.KerasTensor((2,), "int32")


class Gather(keras.layers.Layer):
    """Entries of a batch by (image, slot)."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """[K, …] of values [B, N, …] at where [K, 2]."""
        return tf.gather_nd(inputs[0], inputs[1])

    def compute_output_spec(self, inputs):
        """As many as there are places."""
        return keras.KerasTensor((None, *inputs[0].shape[2:]), inputs[0].dtype)


class Fractions(keras.layers.Layer):
    """Boxes in pixels as fractions of the image."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Boxes [B, N, 4] in fractions from boxes in pixels and the image's shape [2]; zeros stay zeros."""
        pixels, shape = inputs
        real = tf.cast(tf.reduce_any(pixels != 0, axis=-1, keepdims=True), tf.float32)
        return boxes.to_fractions(pixels, shape) * real

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape[0]


class Front(keras.layers.Layer):
    """The first slots of each image."""

    def __init__(self, count: int, **kwargs):
        """Keep `count` slots."""
        super().__init__(autocast=False, **kwargs)
        self._count = count

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """[B, count, …] of values [B, N, …]."""
        return values[:, : self._count]

    def compute_output_spec(self, values):
        """The dtype is kept."""
        return keras.KerasTensor((values.shape[0], self._count, *values.shape[2:]), values.dtype)


class ByImage(keras.layers.Layer):
    """Values of regions, in one list, by image again."""

    def __init__(self, count: int, **kwargs):
        """Each image has `count` regions."""
        super().__init__(autocast=False, **kwargs)
        self._count = count

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """[B, count, …] of values [B·count, …]."""
        return tf.reshape(values, (-1, self._count, *values.shape[1:]))

    def compute_output_shape(self, input_shape):
        """[B, count, …]."""
        return (None, self._count, *input_shape[1:])


class DetectedRegions(keras.layers.Layer):
    """Boxes and classes of detections."""

    def call(self, detections: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Regions [B, D, 4] and class_ids [B, D] of detections [B, D, 6]."""
        return detections[..., :4], detections[..., 4]

    def compute_output_shape(self, input_shape):
        """Regions and class ids."""
        return (*input_shape[:2], 4), tuple(input_shape[:2])


class WithoutGradient(keras.layers.Layer):
    """The same features, through which nothing is learned."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Features [B, H, W, C], unchanged."""
        return tf.stop_gradient(features)

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape
