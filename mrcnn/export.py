"""Export of networks for detection as TensorFlow SavedModel and as ONNX.

Exported networks take batches of uint8 images already resized and padded by `resizing.resize_for`, and return
detections and masks; `detections.unmold` and `masks.unmold_masks` convert these to pixels of the image. Those of
`export_picture_…` take a picture of any size instead, and return boxes and masks in its pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.model import MaskRCNN
from mrcnn.network.anchors import Anchors
from mrcnn.network.roi_pooling import PyramidPooling
from mrcnn.ops.convolution import portable_operations
from mrcnn.picture_graph import picture_function

OPSET = 17
"""The lowest ONNX opset with all operations of the network."""


class MissingPackageError(ImportError):
    """A package needed for export isn't installed; the message names it."""


def export_saved_model(mask_rcnn: MaskRCNN, folder: str | Path, image_shape: Sequence[int] | None = None) -> Path:
    """Write the network as a SavedModel to `folder`, and return the folder.

    Its signature `serving_default` takes images [B, H, W, 3] uint8 RGB and image_meta [B, 12 + NUM_CLASSES] float32,
    and returns detections [B, D, 6] (y1, x1, y2, x2 in fractions, class id, score) and masks [B, D, h, w, classes].

    Args:
        mask_rcnn: a model of mode "inference".
        folder: the folder to create.
        image_shape: (H, W, …) in pixels of the resized, padded images, if it is fixed. Default: IMAGE_SHAPE if
            IMAGE_RESIZE_MODE is square; else any size that `detect` accepts: pad64 resizes a picture of
            720 × 1280 to 576 × 1024 if IMAGE_MAX_DIM is 1024.

    Raises:
        ValueError: the model's mode is wrong, or the backbone is a callable and the size of images is not fixed.
    """
    return _saved_model(mask_rcnn, _detection_function(mask_rcnn, image_shape), folder)


def export_picture_saved_model(mask_rcnn: MaskRCNN, folder: str | Path, min_scores: Sequence[float]) -> Path:
    """Write a whole detector as a SavedModel to `folder`, and return the folder.

    Its signature `serving_default` is `picture_graph.picture_function`, which also says what it raises.
    """
    return _saved_model(mask_rcnn, picture_function(mask_rcnn, min_scores), folder)


def _saved_model(mask_rcnn: MaskRCNN, detect: Any, folder: str | Path) -> Path:
    module = tf.Module()
    module.network, module.detect = mask_rcnn.keras_model, detect
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=detect, options=options)
    return Path(folder)


def export_onnx(mask_rcnn: MaskRCNN, path: str | Path, image_shape: Sequence[int] | None = None) -> Path:
    """Write the network as an ONNX file to `path`, and return the path.

    Inputs, outputs and `image_shape` are those of `export_saved_model`. The exported network computes in float32 with
    every PRECISION, since few runtimes support bfloat16.

    Raises:
        MissingPackageError: tf2onnx and onnx aren't installed.
        ValueError: the model's mode is wrong, or the backbone is a callable and the size of images is not fixed.
    """
    return _onnx_file(mask_rcnn, path, lambda model: _detection_function(model, image_shape), {})


def export_picture_onnx(
    mask_rcnn: MaskRCNN, path: str | Path, min_scores: Sequence[float], metadata: Mapping[str, str]
) -> Path:
    """Write a whole detector as an ONNX file to `path`, with `metadata` as its metadata_props, and return the path.

    Input and outputs are those of `picture_graph.picture_function`, computed in float32.

    Raises:
        MissingPackageError: tf2onnx and onnx aren't installed.
        ValueError: the model's mode is wrong, or the backbone is a callable.
    """
    return _onnx_file(mask_rcnn, path, lambda model: picture_function(model, min_scores), metadata)


def _onnx_file(
    mask_rcnn: MaskRCNN, path: str | Path, function_of: Callable[[MaskRCNN], Any], metadata: Mapping[str, str]
) -> Path:
    """Write the function of a model that computes in float32; `function_of` makes it, not yet traced."""
    try:
        import onnx
        import tf2onnx
    except ImportError:
        raise MissingPackageError(
            "exporting to ONNX needs the packages tf2onnx and onnx: pip install tf2onnx onnx"
        ) from None

    mask_rcnn = in_float32(mask_rcnn)
    detect = function_of(mask_rcnn)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _portable_pooling(mask_rcnn.keras_model):
        model, _ = tf2onnx.convert.from_function(detect, detect.input_signature, opset=OPSET)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, str(path))
    return Path(path)


def in_float32(mask_rcnn: MaskRCNN) -> MaskRCNN:
    """Return the model itself, or a copy that computes in float32."""
    if mask_rcnn.config.PRECISION == "float32" or mask_rcnn.mode != "inference":
        return mask_rcnn
    config = copy(mask_rcnn.config)
    config.PRECISION = "float32"
    float32_model = type(mask_rcnn)(mask_rcnn.mode, config, mask_rcnn.model_dir)
    float32_model.keras_model.set_weights(mask_rcnn.keras_model.get_weights())
    return float32_model


@contextmanager
def _portable_pooling(network: keras.Model) -> Iterator[None]:
    """Make the network's pooling layers sample by `crops_by_gathering` within this context."""
    layers = [layer for layer in network.layers if isinstance(layer, PyramidPooling)]
    previous = [layer.sample for layer in layers]
    try:
        for layer in layers:
            layer.sample = crops_by_gathering
        yield
    finally:
        for layer, sample in zip(layers, previous, strict=True):
            layer.sample = sample


def crops_by_gathering(features: tf.Tensor, regions: tf.Tensor, images: tf.Tensor, size: int) -> tf.Tensor:
    """Return the same as `roi_pooling.crop_and_resize`, [R, size, size, C] float32, by elementary operations.

    ONNX' own operation crops one region at a time, and drops the last row of a region that ends at the border of the
    image if rounding puts that row outside, which is frequent, since proposals are clipped to the image.

    Args:
        features: [B, H, W, C].
        regions: [R, 4] (y1, x1, y2, x2) in fractions.
        images: [R] int32, the image index of each region.
        size: side of the crops, at least 2.
    """
    height, width = tf.unstack(tf.shape(features)[1:3])
    top, bottom, down, in_rows = _samples(regions[:, 0], regions[:, 2], height, size)
    left, right, across, in_columns = _samples(regions[:, 1], regions[:, 3], width, size)
    features = tf.cast(features, tf.float32)

    def at(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        image, row, column = images[:, None, None], rows[:, :, None], columns[:, None, :]
        flat = (image * height + row) * width + column
        return tf.gather(tf.reshape(features, (-1, features.shape[-1])), flat)

    across, down = across[:, None, :, None], down[:, :, None, None]
    upper = at(top, left) + (at(top, right) - at(top, left)) * across
    lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across
    inside = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    return tf.where(inside, upper + (lower - upper) * down, 0.0)


def _samples(
    low: tf.Tensor, high: tf.Tensor, side: tf.Tensor, size: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the positions of `size` samples from `low` to `high` [R], in fractions of `side` pixels, along one axis.

    Returns:
        the pixels before and after each sample [R, size] int32, its distance from the former [R, size] float32 in
        pixels, and whether it is in the image [R, size] bool.
    """
    last = tf.cast(side - 1, tf.float32)
    positions = (low * last)[:, None] + tf.range(size, dtype=tf.float32) * ((high - low) * last / (size - 1))[:, None]
    before = tf.floor(positions)
    pixels = [tf.cast(tf.clip_by_value(pixel, 0.0, last), tf.int32) for pixel in (before, tf.math.ceil(positions))]
    return pixels[0], pixels[1], positions - before, (positions >= 0.0) & (positions <= last)


def _detection_function(mask_rcnn: MaskRCNN, image_shape: Sequence[int] | None) -> Any:
    """Return a tf.function from images and their meta rows to detections and masks."""
    if mask_rcnn.mode != "inference":
        raise ValueError(f"a model of mode {mask_rcnn.mode!r} can't be exported: create it with mode='inference'")
    config, network = mask_rcnn.config, mask_rcnn.keras_model
    height, width = size = _image_size(config, image_shape)
    anchors_of = _anchor_function(mask_rcnn, size)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, height, width, config.IMAGE_CHANNEL_COUNT), tf.uint8, name="images"),
            tf.TensorSpec((None, config.IMAGE_META_SIZE), tf.float32, name="image_meta"),
        ]
    )
    def detect(images: tf.Tensor, image_meta: tf.Tensor) -> dict[str, tf.Tensor]:
        anchors = tf.tile(anchors_of(images)[None], (tf.shape(images)[0], 1, 1))
        with portable_operations():
            outputs = network([images, image_meta, anchors], training=False)
        return {"detections": outputs[0], "masks": outputs[3]}

    return detect


def _image_size(config: Config, image_shape: Sequence[int] | None) -> tuple[int | None, int | None]:
    """Return (height, width) in pixels of the images of the exported network, None if it is not fixed."""
    if image_shape is not None:
        return int(image_shape[0]), int(image_shape[1])
    if config.IMAGE_RESIZE_MODE == "square":
        return int(config.IMAGE_SHAPE[0]), int(config.IMAGE_SHAPE[1])
    if callable(config.BACKBONE):
        raise ValueError(
            f"IMAGE_RESIZE_MODE {config.IMAGE_RESIZE_MODE!r} leaves the images' size open, and a backbone of your own "
            "has anchors for a fixed size only: pass image_shape=(height, width) of the resized, padded images"
        )
    return None, None


def _anchor_function(mask_rcnn: MaskRCNN, size: tuple[int | None, int | None]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from images [B, H, W, C] to anchors [A, 4] float32 in fractions: constant for a fixed size."""
    height, width = size
    if height is not None and width is not None:
        constant = np.asarray(mask_rcnn.get_anchors((height, width)), np.float32)
        return lambda images: tf.constant(constant)
    strides, anchors = mask_rcnn.config.BACKBONE_STRIDES, Anchors(mask_rcnn.config)

    def computed(images: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(images)[1:3]
        return anchors.in_fractions([(shape + stride - 1) // stride for stride in strides], shape)

    return computed
