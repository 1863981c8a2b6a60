"""Feature pyramid network (Lin et al. 2017): C2 … C5 to P2 … P6 with the same number of channels."""

from collections.abc import Callable

import keras
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops.gradients import Duplicate
from mrcnn.ops.layers import conv_norm, precision_policy


class Upsampling(keras.layers.Layer):
    """Nearest-neighbour upsampling by a factor of two."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Upsample features [B, H, W, C] to [B, 2H, 2W, C]."""
        return _upsampled(features)


@tf.custom_gradient
def _upsampled(features: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    batch, height, width = tf.unstack(tf.shape(features)[:3])
    channels = features.shape[-1]
    repeated = tf.broadcast_to(features[:, :, None, :, None], (batch, height, 2, width, 2, channels))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # four times the mean is the sum, and pooling is much faster than a sum over inner axes
        return 4.0 * tf.nn.avg_pool2d(upstream, 2, 2, "VALID")

    return tf.reshape(repeated, (batch, 2 * height, 2 * width, channels)), gradient


def feature_pyramid(backbone_maps: list[keras.KerasTensor], config: Config) -> list[keras.KerasTensor]:
    """Return P2 … P6 [B, H / stride, W / stride, TOP_DOWN_PYRAMID_SIZE], strides 4, 8, 16, 32, 64, of C1 … C5."""
    policy = precision_policy(config.PRECISION)

    def conv(features: keras.KerasTensor, size: int, name: str) -> keras.KerasTensor:
        return conv_norm(
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
    levels[-1], p5 = Duplicate(name="fpn_p5_duplicate", dtype=policy)(levels[-1])
    coarsest = keras.layers.MaxPooling2D(1, strides=2, name="fpn_p6", dtype=policy)(p5)
    return [*levels, coarsest]
