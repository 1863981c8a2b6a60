"""Export of a network for detection: TensorFlow's SavedModel, and ONNX.

Exported networks take uint8 images of one size, already resized and padded (`resizing.resize_for`), and give detections
and their masks; `detections.unmold` and `masks.unmold_masks` put them back into the image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
        image_shape: (H, W, …) of the images; IMAGE_SHAPE without it.

    Raises:
        ValueError: the mode is wrong.
    """
    import tensorflow as tf

    detect = _detection_function(mask_rcnn, image_shape)
    module = tf.Module()
    module.network, module.detect = mask_rcnn.keras_model, detect
    tf.saved_model.save(module, str(folder), signatures=detect)
    return Path(folder)


def export_onnx(mask_rcnn: Any, path: str | Path, image_shape: Sequence[int] | None = None) -> Path:
    """Write the network as an ONNX file to `path` and return the path; inputs and outputs as `export_saved_model`.

    Raises:
        MissingPackageError: tf2onnx and onnx aren't installed.
        ValueError: the mode is wrong.
    """
    try:
        import tf2onnx
    except ImportError:
        raise MissingPackageError(
            "exporting to ONNX needs the packages tf2onnx and onnx: pip install tf2onnx onnx"
        ) from None

    detect = _detection_function(mask_rcnn, image_shape)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tf2onnx.convert.from_function(detect, detect.input_signature, opset=OPSET, output_path=str(path))
    return Path(path)


def _detection_function(mask_rcnn: Any, image_shape: Sequence[int] | None) -> Any:
    """Return a tf.function from images and their meta rows to detections and masks; anchors are constants in it."""
    import tensorflow as tf

    if mask_rcnn.mode != "inference":
        raise ValueError(f"a model of mode {mask_rcnn.mode!r} can't be exported: create it with mode='inference'")
    config, network = mask_rcnn.config, mask_rcnn.keras_model
    height, width = (int(side) for side in (config.IMAGE_SHAPE if image_shape is None else image_shape)[:2])
    anchors = np.asarray(mask_rcnn.get_anchors((height, width, 3)), np.float32)[None]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, height, width, 3), tf.uint8, name="images"),
            tf.TensorSpec((None, config.IMAGE_META_SIZE), tf.float32, name="image_meta"),
        ]
    )
    def detect(images: Any, image_meta: Any) -> dict[str, Any]:
        per_image = tf.tile(tf.constant(anchors), (tf.shape(images)[0], 1, 1))
        outputs = network([images, image_meta, per_image], training=False)
        return {"detections": outputs[0], "masks": outputs[3]}

    return detect
