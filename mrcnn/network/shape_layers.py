"""Layers without weights that only change shapes and units: image size, gathering, boxes as fractions."""

import keras
import tensorflow as tf

from mrcnn.ops import boxes


class ImageShape(keras.layers.Layer):
    """Height and width of a batch's images in pixels."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Return (height, width), [2] int32, of images [B, H, W, C]."""
        return tf.shape(images)[1:3]


class Gather(keras.layers.Layer):
    """Entries of a batch by (image, slot)."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return [K, …] of values [B, N, …] at indices [K, 2]."""
        return tf.gather_nd(inputs[0], inputs[1])


class Fractions(keras.layers.Layer):
    """Boxes in pixels as fractions of the image."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return boxes [B, N, 4] in fractions, of boxes in pixels and the image's shape [2]; zeros stay zeros."""
        pixels, shape = inputs
        is_box = tf.cast(tf.reduce_any(pixels != 0, axis=-1, keepdims=True), tf.float32)
        return boxes.to_fractions(pixels, shape) * is_box
