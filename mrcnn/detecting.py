"""Running the network for detection: one traced function, batches of one shape, results as the API gives them.

What the network computes is in network and detections; how images are placed in its input is in resizing.
"""

from typing import Any

import keras
import tensorflow as tf

from mrcnn.detections import ImageDetections
from mrcnn.masks import unmold_masks
from mrcnn.rle import encode_masks


def detection_function(model: keras.Model) -> Any:
    """The network's detections and masks alone, as one function for all shapes, so that none is traced twice."""

    @tf.function(reduce_retracing=True, jit_compile=False)
    def run(images, metas, boxes):
        outputs = model([images, metas, boxes], training=False)
        return outputs[0], outputs[3]

    def of_arrays(images, metas, boxes):
        return run(tf.convert_to_tensor(images), tf.convert_to_tensor(metas), tf.convert_to_tensor(boxes))

    return of_arrays


def batches_of_one_shape(shapes: list[tuple[int, ...]], size: int) -> list[list[int]]:
    """Indices in groups of at most `size`, each of one shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    return [group[i : i + size] for group in by_shape.values() for i in range(0, len(group), size)]


def result(found: ImageDetections, shape: tuple[int, ...], masks: str) -> dict[str, Any]:
    """What `detect` returns of an image of `shape`, with masks as arrays or as rle."""
    result: dict[str, Any] = {"rois": found.rois, "class_ids": found.class_ids, "scores": found.scores}
    if masks == "rle":
        return result | {"rles": encode_masks(found.masks, found.rois, shape)}
    return result | {"masks": unmold_masks(found.masks, found.rois, shape)}
