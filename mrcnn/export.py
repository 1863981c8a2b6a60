"""Export of a network for detection: TensorFlow's SavedModel, and ONNX.

Exported networks take uint8 images that are already resized and padded (`resizing.resize_for`), one size a batch, and
give detections and their masks; `detections.unmold` and `masks.unmold_masks` put them back into the image.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

ONE_SHAPE_MODES = ("square", "crop")
"""Resize modes that make all images IMAGE_SHAPE; with the others, an exported network takes every size."""

OPSET = 17
"""Of ONNX; the first that has all that the network needs and that older runtimes know."""


class MissingPackageError(ImportError):
    """A package that this export needs isn't installed; the message names it."""


def export_saved_model(mask_rcnn: Any, folder: str | Path, image_shape: Sequence[int] | None = None) -> Path:
    """Write the network as a SavedModel to `folder` and return the folder.

    Its signature `serving_default` takes images [B, H, W, 3] uint8 RGB and image_meta [B, 12 + NUM_CLASSES] float32,
    and returns detections [B, D, 6] (y1, x1, y2, x2 as fractions, class id, score) and masks [B, D, h, w, classes].

    Args:
        mask_rcnn: a model of mode "inference".
        folder: is created.
        image_shape: (H, W, …) in pixels of the images, resized and padded, to take no others. Without it, IMAGE_SHAPE
            where IMAGE_RESIZE_MODE is square or crop; else every height and width that `detect` takes: pad64 makes
            576 × 1024 of a picture of 720 × 1280 where IMAGE_MAX_DIM is 1024.

    Raises:
        ValueError: the model's mode is wrong, or the backbone is a callable and the images' size is open.
    """
    import tensorflow as tf

    detect = _detection_function(mask_rcnn, image_shape)
    module = tf.Module()
    module.network, module.detect = mask_rcnn.keras_model, detect
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=detect, options=options)
    return Path(folder)


def export_onnx(mask_rcnn: Any, path: str | Path, image_shape: Sequence[int] | None = None) -> Path:
    """Write the network as an ONNX file to `path` and return the path.

    Inputs, outputs and `image_shape`, without which pad64, pad32 and none leave the images' size open, are those of
    `export_saved_model`. Whatever PRECISION is, the file computes in float32, as the weights are: few runtimes know
    bfloat16.

    Raises:
        MissingPackageError: tf2onnx and onnx aren't installed.
        ValueError: the model's mode is wrong, or the backbone is a callable and the images' size is open.
    """
    try:
        import tf2onnx
    except ImportError:
        raise MissingPackageError(
            "exporting to ONNX needs the packages tf2onnx and onnx: pip install tf2onnx onnx"
        ) from None

    mask_rcnn = _in_float32(mask_rcnn)
    detect = _detection_function(mask_rcnn, image_shape)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _portable_pooling(mask_rcnn.keras_model):
        tf2onnx.convert.from_function(detect, detect.input_signature, opset=OPSET, output_path=str(path))
    return Path(path)


def _in_float32(mask_rcnn: Any) -> Any:
    """Return the model itself, or one with its weights that computes in float32."""
    if mask_rcnn.config.PRECISION == "float32" or mask_rcnn.mode != "inference":
        return mask_rcnn
    config = copy(mask_rcnn.config)
    config.PRECISION = "float32"
    twin = type(mask_rcnn)(mask_rcnn.mode, config, mask_rcnn.model_dir)
    twin.keras_model.set_weights(mask_rcnn.keras_model.get_weights())
    return twin


@contextmanager
def _portable_pooling(network: Any) -> Iterator[None]:
    """Let the network's pooling layers sample by `crops_by_gathering` while it is traced."""
    from mrcnn.network.roi_pooling import PyramidPooling

    layers = [layer for layer in network.layers if isinstance(layer, PyramidPooling)]
    before = [layer.sample for layer in layers]
    try:
        for layer in layers:
            layer.sample = crops_by_gathering
        yield
    finally:
        for layer, sample in zip(layers, before, strict=True):
            layer.sample = sample


def crops_by_gathering(features: Any, regions: Any, images: Any, size: int) -> Any:
    """As `roi.crop_and_resize`, of elementary operations, that any runtime rounds alike.

    ONNX' own cropping takes a region at a time, and loses the last row of one that ends at the image's border wherever
    its rounding puts that row a hair outside: proposals are clipped there, so that this is the rule.

    Args:
        features: [B, H, W, C].
        regions: [R, 4] (y1, x1, y2, x2) in fractions.
        images: [R] int32, the image of each region.
        size: side of the crops, 2 at least.
    """
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(features)[1:3])
    top, bottom, down, in_rows = _samples(regions[:, 0], regions[:, 2], height, size)
    left, right, across, in_columns = _samples(regions[:, 1], regions[:, 3], width, size)
    features = tf.cast(features, tf.float32)

    def at(rows: Any, columns: Any) -> Any:
        image, row, column = images[:, None, None], rows[:, :, None], columns[:, None, :]
        flat = (image * height + row) * width + column
        return tf.gather(tf.reshape(features, (-1, features.shape[-1])), flat)

    across, down = across[:, None, :, None], down[:, :, None, None]
    upper = at(top, left) + (at(top, right) - at(top, left)) * across
    lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across
    inside = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    return tf.where(inside, upper + (lower - upper) * down, 0.0)


def _samples(low: Any, high: Any, side: Any, size: int) -> tuple[Any, Any, Any, Any]:
    """Return where `size` samples from `low` to `high` [R] in fractions of `side` pixels lie along one axis.

    Returns:
        pixels before and behind each sample [R, size] int32, its distance from the former [R, size] float32 in pixels,
        and whether it lies in the image [R, size] bool.
    """
    import tensorflow as tf

    last = tf.cast(side - 1, tf.float32)
    places = (low * last)[:, None] + tf.range(size, dtype=tf.float32) * ((high - low) * last / (size - 1))[:, None]
    before = tf.floor(places)
    pixels = [tf.cast(tf.clip_by_value(pixel, 0.0, last), tf.int32) for pixel in (before, tf.math.ceil(places))]
    return pixels[0], pixels[1], places - before, (places >= 0.0) & (places <= last)


def _detection_function(mask_rcnn: Any, image_shape: Sequence[int] | None) -> Any:
    """Return a tf.function from images and their meta rows to detections and masks, anchors included."""
    import tensorflow as tf

    from mrcnn.ops.convolution import plain_operations

    if mask_rcnn.mode != "inference":
        raise ValueError(f"a model of mode {mask_rcnn.mode!r} can't be exported: create it with mode='inference'")
    config, network = mask_rcnn.config, mask_rcnn.keras_model
    height, width = size = _image_size(config, image_shape)
    anchors_of = _anchors_of(mask_rcnn, size)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, height, width, config.IMAGE_CHANNEL_COUNT), tf.uint8, name="images"),
            tf.TensorSpec((None, config.IMAGE_META_SIZE), tf.float32, name="image_meta"),
        ]
    )
    def detect(images: Any, image_meta: Any) -> dict[str, Any]:
        per_image = tf.tile(anchors_of(images)[None], (tf.shape(images)[0], 1, 1))
        with plain_operations():
            outputs = network([images, image_meta, per_image], training=False)
        return {"detections": outputs[0], "masks": outputs[3]}

    return detect


def _image_size(config: Any, image_shape: Sequence[int] | None) -> tuple[int | None, int | None]:
    """Return (height, width) in pixels of the images that the exported network takes, None where it is open."""
    if image_shape is not None:
        return int(image_shape[0]), int(image_shape[1])
    if config.IMAGE_RESIZE_MODE in ONE_SHAPE_MODES:
        return int(config.IMAGE_SHAPE[0]), int(config.IMAGE_SHAPE[1])
    if callable(config.BACKBONE):
        raise ValueError(
            f"IMAGE_RESIZE_MODE {config.IMAGE_RESIZE_MODE!r} leaves the images' size open, and a backbone of your own "
            "says where anchors are for one size only: pass image_shape=(height, width) of the resized, padded images"
        )
    return None, None


def _anchors_of(mask_rcnn: Any, size: tuple[int | None, int | None]) -> Callable[[Any], Any]:
    """Return a function from images [B, H, W, C] to anchors [A, 4] float32 in fractions: a constant, if `size` is."""
    import tensorflow as tf

    from mrcnn.network.anchors import Anchors

    if None not in size:
        known = np.asarray(mask_rcnn.get_anchors((*size, 3)), np.float32)
        return lambda images: tf.constant(known)
    strides, anchors = mask_rcnn.config.BACKBONE_STRIDES, Anchors(mask_rcnn.config)

    def computed(images: Any) -> Any:
        shape = tf.shape(images)[1:3]
        return anchors.in_fractions([(shape + stride - 1) // stride for stride in strides], shape)

    return computed
