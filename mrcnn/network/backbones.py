"""Backbones: image to feature maps C1 … C5. Names and strides are those of the original's ResNet-50 and -101.

The pyramid on top is in fpn.
"""

import functools
from collections.abc import Callable

import keras

from mrcnn.config import Config
from mrcnn.ops.gradient_order import Fork
from mrcnn.ops.layers import ShortcutAdded, convolve, precision_policy

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
"""Bottleneck blocks in stages 2 to 5 (He et al. 2015, table 1)."""

Convolve = Callable[..., keras.KerasTensor]


def backbone(image: keras.KerasTensor, config: Config) -> list[keras.KerasTensor]:
    """Feature maps C1 … C5 of the image [B, H, W, C]: strides 2, 4, 8, 16, 32, channels by backbone.

    Raises:
        ValueError: Config.BACKBONE is no known name and no callable, or the callable gives other than five maps.
    """
    if callable(config.BACKBONE):
        maps = config.BACKBONE(image, stage5=True, train_bn=config.TRAIN_BN)
        if len(maps) != 5:
            raise ValueError(f"Config.BACKBONE returned {len(maps)} feature maps; it must return five, C1 to C5")
        return list(maps)
    if config.BACKBONE == "narrow":
        return narrow_resnet(image, config)
    if config.BACKBONE not in BLOCKS:
        known = ", ".join([*BLOCKS, "narrow"])
        raise ValueError(f"Config.BACKBONE is {config.BACKBONE!r}; it must be one of {known} or a callable")
    return resnet(image, config)


def resnet(image: keras.KerasTensor, config: Config) -> list[keras.KerasTensor]:
    """ResNet-50 or -101 of bottleneck blocks on [B, H, W, C], C2 … C5 of 256, 512, 1024, 2048 channels."""
    conv = _convolution(config)
    maps = [_stem(image, 64, conv)]
    features = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(maps[0])
    for stage, blocks in enumerate(BLOCKS[config.BACKBONE], start=2):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            name = f"{stage}{chr(ord('a') + block)}"
            features = _bottleneck(features, 64 * 2 ** (stage - 2), stride, block == 0, name, conv)
        features = _kept(maps, features, stage)
    return maps


def narrow_resnet(image: keras.KerasTensor, config: Config) -> list[keras.KerasTensor]:
    """A ResNet of basic blocks on [B, H, W, C] whose stages have BACKBONE_WIDTH · 1, 2, 4, 8 channels."""
    conv, width = _convolution(config), config.BACKBONE_WIDTH
    maps = [_stem(image, width, conv)]
    features = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(maps[0])
    for stage, blocks in enumerate(config.BACKBONE_BLOCKS, start=2):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            name = f"{stage}{chr(ord('a') + block)}"
            features = _basic(features, width * 2 ** (stage - 2), stride, name, conv)
        features = _kept(maps, features, stage)
    return maps


def _kept(maps: list[keras.KerasTensor], features: keras.KerasTensor, stage: int) -> keras.KerasTensor:
    """Append a stage's features to `maps`, and return those that the next stage, if any, goes on with."""
    further = features
    if stage < 5:
        further, features = Fork(name=f"res{stage}_fork", dtype=features.dtype)(features)
    maps.append(features)
    return further


def _convolution(config: Config) -> Convolve:
    return functools.partial(
        convolve,
        normalisation=config.normalisation,
        momentum=config.BATCH_NORM_MOMENTUM,
        dtype=precision_policy(config.PRECISION),
        kernel_initializer="glorot_uniform" if config.BACKBONE != "narrow" else "he_normal",
    )


def _stem(image: keras.KerasTensor, filters: int, conv: Convolve) -> keras.KerasTensor:
    image = keras.layers.ZeroPadding2D(3, name="conv1_pad")(image)
    features = conv(image, filters, 7, "conv1", "bn_conv1", strides=2)
    return keras.layers.Activation("relu", name="conv1_relu")(features)


def _bottleneck(features, width: int, stride: int, project: bool, name: str, conv: Convolve) -> keras.KerasTensor:
    """A block of three convolutions: features [B, H, W, C] to [B, H / stride, W / stride, 4 · width]."""
    layer, norm = f"res{name}_branch", f"bn{name}_branch"
    x = conv(features, width, 1, layer + "2a", norm + "2a", strides=stride)
    x = keras.layers.Activation("relu", name=f"res{name}_relu2a")(x)
    x = conv(x, width, 3, layer + "2b", norm + "2b", padding="same")
    x = keras.layers.Activation("relu", name=f"res{name}_relu2b")(x)
    x = conv(x, 4 * width, 1, layer + "2c", norm + "2c")
    shortcut = conv(features, 4 * width, 1, layer + "1", norm + "1", strides=stride) if project else features
    x = ShortcutAdded(name=f"res{name}_add", dtype=x.dtype)([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{name}_out")(x)


def _basic(features, width: int, stride: int, name: str, conv: Convolve) -> keras.KerasTensor:
    """A block of two convolutions: features [B, H, W, C] to [B, H / stride, W / stride, width]."""
    layer, norm = f"res{name}_branch", f"bn{name}_branch"
    x = conv(features, width, 3, layer + "2a", norm + "2a", strides=stride, padding="same")
    x = keras.layers.Activation("relu", name=f"res{name}_relu2a")(x)
    x = conv(x, width, 3, layer + "2b", norm + "2b", padding="same")
    same = stride == 1 and features.shape[-1] == width
    shortcut = features if same else conv(features, width, 1, layer + "1", norm + "1", strides=stride)
    x = ShortcutAdded(name=f"res{name}_add", dtype=x.dtype)([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{name}_out")(x)
