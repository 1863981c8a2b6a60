"""Backbones: image to feature maps C1 … C5. Layer names and strides are those of matterport's ResNet-50 and -101."""

import functools
from collections.abc import Callable

import keras

from mrcnn.config import Config
from mrcnn.ops.gradients import Duplicate
from mrcnn.ops.layers import AddShortcut, conv_norm, precision_policy

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
"""Bottleneck blocks in stages 2 to 5 (He et al. 2015, table 1)."""

Convolve = Callable[..., keras.KerasTensor]


def backbone(image: keras.KerasTensor, config: Config) -> list[keras.KerasTensor]:
    """Return feature maps C1 … C5 of the image [B, H, W, C], with strides 2, 4, 8, 16, 32.

    Raises:
        ValueError: Config.BACKBONE is neither a known name nor a callable, or the callable does not return five maps.
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
    """Return C1 … C5 of ResNet-50 or -101 on [B, H, W, C]; C2 … C5 have 256, 512, 1024, 2048 channels."""
    conv = _convolution(config)
    maps = [_stem(image, 64, conv)]
    features = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(maps[0])
    for stage, blocks in enumerate(BLOCKS[config.BACKBONE], start=2):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            name = f"{stage}{chr(ord('a') + block)}"
            features = _bottleneck(features, 64 * 2 ** (stage - 2), stride, block == 0, name, conv)
        features = _appended(maps, features, stage)
    return maps


def narrow_resnet(image: keras.KerasTensor, config: Config) -> list[keras.KerasTensor]:
    """Return C1 … C5 of a ResNet of basic blocks on [B, H, W, C]; C2 … C5 have BACKBONE_WIDTH · 1, 2, 4, 8 channels."""
    conv, width = _convolution(config), config.BACKBONE_WIDTH
    maps = [_stem(image, width, conv)]
    features = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(maps[0])
    for stage, blocks in enumerate(config.BACKBONE_BLOCKS, start=2):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 2 else 1
            name = f"{stage}{chr(ord('a') + block)}"
            features = _basic(features, width * 2 ** (stage - 2), stride, name, conv)
        features = _appended(maps, features, stage)
    return maps


def _appended(maps: list[keras.KerasTensor], features: keras.KerasTensor, stage: int) -> keras.KerasTensor:
    """Append the features of a stage to `maps`, and return the input of the next stage."""
    next_input = features
    if stage < 5:
        next_input, features = Duplicate(name=f"res{stage}_duplicate", dtype=features.dtype)(features)
    maps.append(features)
    return next_input


def _convolution(config: Config) -> Convolve:
    return functools.partial(
        conv_norm,
        normalisation=config.normalisation,
        momentum=config.BATCH_NORM_MOMENTUM,
        dtype=precision_policy(config.PRECISION),
        kernel_initializer="glorot_uniform" if config.BACKBONE != "narrow" else "he_normal",
    )


def _stem(image: keras.KerasTensor, filters: int, conv: Convolve) -> keras.KerasTensor:
    image = keras.layers.ZeroPadding2D(3, name="conv1_pad")(image)
    features = conv(image, filters, 7, "conv1", "bn_conv1", strides=2)
    return keras.layers.Activation("relu", name="conv1_relu")(features)


def _bottleneck(
    features: keras.KerasTensor, width: int, stride: int, project: bool, name: str, conv: Convolve
) -> keras.KerasTensor:
    """Apply a block of three convolutions: features [B, H, W, C] to [B, H / stride, W / stride, 4 · width]."""
    layer, norm = f"res{name}_branch", f"bn{name}_branch"
    x = conv(features, width, 1, layer + "2a", norm + "2a", strides=stride)
    x = keras.layers.Activation("relu", name=f"res{name}_relu2a")(x)
    x = conv(x, width, 3, layer + "2b", norm + "2b", padding="same")
    x = keras.layers.Activation("relu", name=f"res{name}_relu2b")(x)
    x = conv(x, 4 * width, 1, layer + "2c", norm + "2c")
    shortcut = conv(features, 4 * width, 1, layer + "1", norm + "1", strides=stride) if project else features
    x = AddShortcut(name=f"res{name}_add", dtype=x.dtype)([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{name}_out")(x)


def _basic(features: keras.KerasTensor, width: int, stride: int, name: str, conv: Convolve) -> keras.KerasTensor:
    """Apply a block of two convolutions: features [B, H, W, C] to [B, H / stride, W / stride, width]."""
    layer, norm = f"res{name}_branch", f"bn{name}_branch"
    x = conv(features, width, 3, layer + "2a", norm + "2a", strides=stride, padding="same")
    x = keras.layers.Activation("relu", name=f"res{name}_relu2a")(x)
    x = conv(x, width, 3, layer + "2b", norm + "2b", padding="same")
    same = stride == 1 and features.shape[-1] == width
    shortcut = features if same else conv(features, width, 1, layer + "1", norm + "1", strides=stride)
    x = AddShortcut(name=f"res{name}_add", dtype=x.dtype)([x, shortcut])
    return keras.layers.Activation("relu", name=f"res{name}_out")(x)
