"""Keras layers for anchors: their boxes in fractions of the image, and the sample that trains the RPN."""

from typing import Any

import keras
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops import boxes
from mrcnn.shapes.anchors import generate_anchors


class SampledAnchors(keras.layers.Layer):
    """Feature patches around the labelled anchors, the only ones through which the anchor losses have a gradient.

    At 1024² these are 256 positions of 87 040; a gradient through whole feature maps would mostly multiply by zeros.
    """

    def __init__(self, config: Config, **kwargs: Any) -> None:
        """Sample RPN_TRAIN_ANCHORS_PER_IMAGE anchors an image."""
        super().__init__(trainable=False, autocast=False, **kwargs)
        self._count = config.RPN_TRAIN_ANCHORS_PER_IMAGE
        self._shapes, self._step = len(config.RPN_ANCHOR_RATIOS), config.RPN_ANCHOR_STRIDE

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return patches [B·S, 3, 3, F], the anchor's index at its position [B·S] int32, and labels [B, S] int32.

        Labels are 1 object, −1 background, 0 neither (padding); objects come first, in the order of the anchors, as in
        rpn_bbox. Inputs: rpn_match [B, A, 1] int32, and the levels P2 … P6 [B, H, W, F].
        """
        match, levels = inputs[0][:, :, 0], inputs[1:]
        # small images may have fewer anchors than the sample
        match = tf.pad(match, [[0, 0], [0, tf.maximum(self._count - tf.shape(match)[1], 0)]])
        priority = tf.where(match == 1, 2, tf.abs(match))
        _, anchors = tf.math.top_k(priority, k=self._count)
        labels = tf.gather(match, anchors, batch_dims=1)
        position, shape = anchors // self._shapes, anchors % self._shapes
        patches, first = 0, 0
        for level in levels:
            height, width = (-(-side // self._step) for side in tf.unstack(tf.shape(level)[1:3]))
            here = (position >= first) & (position < first + height * width)
            local = tf.where(here, position - first, 0)
            patch = _neighbourhood(level, local // width, local % width, self._step)
            patches += patch * tf.cast(here, level.dtype)[..., None, None, None]
            first += height * width
        return tf.reshape(patches, (-1, 3, 3, levels[0].shape[-1])), tf.reshape(shape, (-1,)), labels


def _neighbourhood(features: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, step: int) -> tf.Tensor:
    """Return the receptive fields of a 3 × 3 convolution, padding "same", stride `step`, at (rows, columns) [B, S].

    Returns [B, S, 3, 3, F]: zeros outside of the features [B, H, W, F].
    """
    batch, height, width = tf.unstack(tf.shape(features)[:3])
    taps = []
    for centre, side in ((rows, height), (columns, width)):
        overhang = tf.maximum((-(-side // step) - 1) * step + 3 - side, 0)
        taps.append(centre[..., None] * step - overhang // 2 + tf.range(3))
    y, x = taps[0][..., :, None] + tf.zeros(3, tf.int32), taps[1][..., None, :] + tf.zeros((3, 1), tf.int32)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = tf.clip_by_value(y, 0, height - 1), tf.clip_by_value(x, 0, width - 1)
    image = tf.broadcast_to(tf.range(batch)[:, None, None, None], tf.shape(y))
    patch = tf.gather_nd(features, tf.stack([image, y, x], axis=-1))
    return patch * tf.cast(inside, features.dtype)[..., None]


class AnchorOfPosition(keras.layers.Layer):
    """Values of one of the anchors at each position."""

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits [B, S, 2] and deltas [B, S, 4] float32.

        Inputs: logits [B·S, K, 2] and deltas [B·S, K, 4] of the K anchors of each position, the index of one of them
        [B·S], labels [B, S].
        """
        logits, deltas, anchor, labels = inputs
        shape = tf.shape(labels)
        logits, deltas = (tf.gather(values, anchor, batch_dims=1) for values in (logits, deltas))
        return tf.reshape(logits, (shape[0], shape[1], 2)), tf.reshape(deltas, (shape[0], shape[1], 4))


class Anchors(keras.layers.Layer):
    """Anchors of a batch of images, computed in the graph for the shape of its images."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        """Take the settings RPN_ANCHOR_… and BACKBONE_STRIDES of `config`."""
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self._scales, self._ratios = config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS
        self._strides, self._step = config.BACKBONE_STRIDES, config.RPN_ANCHOR_STRIDE

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Return anchors [A, 4] float32 in fractions of the images; inputs: images [B, H, W, C], then all levels."""
        images, levels = inputs[0], inputs[1:]
        return self.in_fractions([tf.shape(level)[1:3] for level in levels], tf.shape(images)[1:3])

    def in_fractions(self, level_shapes: list[tf.Tensor], image_shape: tf.Tensor) -> tf.Tensor:
        """Return anchors [A, 4] float32 in fractions of images of `image_shape` [2], for levels of shapes [2] each."""
        levels = zip(level_shapes, self._scales, self._strides, strict=True)
        anchors = [self._of_level(shape, scale, stride) for shape, scale, stride in levels]
        return boxes.to_fractions(tf.concat(anchors, axis=0), image_shape)

    def _of_level(self, shape: tf.Tensor, scale: float, stride: int) -> tf.Tensor:
        at_origin = tf.constant(generate_anchors(scale, self._ratios, (1, 1), stride, 1), tf.float32)
        rows, columns = (tf.range(0, shape[axis], self._step) * stride for axis in (0, 1))
        centre = tf.cast(tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1), tf.float32)
        return tf.reshape(tf.tile(centre, (1, 1, 2))[:, :, None] + at_origin, (-1, 4))
