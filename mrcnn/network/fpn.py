"""The feature pyramid (Lin et al. 2017): C2 … C5 to P2 … P6, all of one width.

The heads that read it are in heads.
"""

import keras
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops.gradient_order import Fork
from mrcnn.ops.layers import convolve, precision_policy


class Upsampling(keras.layers.Layer):
    """Every pixel four times: [B, H, W, C] to [B, 2H, 2W, C]."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Features [B, H, W, C] enlarged to the nearest neighbour, [B, 2H, 2W, C]."""
        return _doubled(features)

    def compute_output_shape(self, input_shape):
        """Twice the height and width."""
        batch, height, width, channels = input_shape
        return (batch, height and 2 * height, width and 2 * width, channels)


@tf.custom_gradient
def _doubled(features: tf.Tensor):
    batch, height, width = tf.unstack(tf.shape(features)[:3])
    channels = features.shape[-1]
    grown = tf.broadcast_to(features[:, :, None, :, None], (batch, height, 2, width, 2, channels))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # four times the mean is the sum, and pooling is much faster than a sum over inner axes
        return 4.0 * tf.nn.avg_pool2d(upstream, 2, 2, "VALID")

    return tf.reshape(grown, (batch, 2 * height, 2 * width, channels)), gradient


def feature_pyramid(backbone_maps: list[keras.KerasTensor], config: Config) -> list[keras.KerasTensor]:
    """Levels P2 … P6 [B, H / stride, W / stride, TOP_DOWN_PYRAMID_SIZE] of strides 4, 8, 16, 32, 64, from C1 … C5."""
    policy = precision_policy(config.PRECISION)

    def conv(features, size, name):
        return convolve(
            features,
            config.TOP_DOWN_PYRAMID_SIZE,
            size,
            name,
            f"{name}_bn",
            config.FPN_NORMALISATION,
            config.BATCH_NORM_MOMENTUM,
            padding="same",
            dtype=policy,
        )

    _, c2, c3, c4, c5 = backbone_maps
    top = conv(c5, 1, "fpn_c5p5")
    merged = {5: top}
    for level, features in ((4, c4), (3, c3), (2, c2)):
        upsampled = Upsampling(name=f"fpn_p{level + 1}upsampled", dtype=policy)(top)
        lateral = conv(features, 1, f"fpn_c{level}p{level}")
        top = merged[level] = keras.layers.Add(name=f"fpn_p{level}add", dtype=policy)([upsampled, lateral])
    levels = [conv(merged[level], 3, f"fpn_p{level}") for level in (2, 3, 4, 5)]
    levels[-1], p5 = Fork(name="fpn_p5_fork", dtype=policy)(levels[-1])
    coarsest = keras.layers.MaxPooling2D(1, strides=2, name="fpn_p6", dtype=policy)(p5)
    return [*levels, coarsest]
