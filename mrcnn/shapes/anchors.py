"""Anchors as NumPy arrays: the boxes that every position of every pyramid level starts from."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from mrcnn.config import Config
from mrcnn.shapes.boxes import norm_boxes


def compute_backbone_shapes(config: Config, image_shape: Sequence[int]) -> np.ndarray:
    """Heights and widths [levels, 2] int64 of the pyramid's levels for an image of shape (height, width, …) in pixels.

    Raises:
        ValueError: the backbone is a callable and COMPUTE_BACKBONE_SHAPE is not given.
    """
    if callable(config.BACKBONE):
        if config.COMPUTE_BACKBONE_SHAPE is None:
            raise ValueError("Config.BACKBONE is a callable, so Config.COMPUTE_BACKBONE_SHAPE must be one too")
        return np.asarray(config.COMPUTE_BACKBONE_SHAPE(image_shape))
    return np.array([[math.ceil(side / stride) for side in image_shape[:2]] for stride in config.BACKBONE_STRIDES])


def generate_anchors(
    scales: float | Sequence[float],
    ratios: Sequence[float],
    shape: Sequence[int],
    feature_stride: int,
    anchor_stride: int,
) -> np.ndarray:
    """Anchors [positions · shapes, 4] float64 (y1, x1, y2, x2) in pixels of one level of shape (height, width).

    Rows first, then columns, then the anchor's shapes (ratios of width to height, at equal area).
    """
    scale, ratio = (grid.ravel() for grid in np.meshgrid(np.atleast_1d(scales), np.asarray(ratios, np.float64)))
    half = 0.5 * np.stack([scale / np.sqrt(ratio), scale * np.sqrt(ratio)], axis=1)
    rows = np.arange(0, shape[0], anchor_stride) * feature_stride
    columns = np.arange(0, shape[1], anchor_stride) * feature_stride
    centre = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    return np.concatenate([centre - half, centre + half], axis=2).reshape(-1, 4)


def generate_pyramid_anchors(
    scales: Sequence[float],
    ratios: Sequence[float],
    feature_shapes: np.ndarray,
    feature_strides: Sequence[int],
    anchor_stride: int,
) -> np.ndarray:
    """Anchors [A, 4] float64 (y1, x1, y2, x2) in pixels of all levels, the finest first."""
    levels = zip(scales, feature_shapes, feature_strides, strict=True)
    return np.concatenate([generate_anchors(s, ratios, shape, stride, anchor_stride) for s, shape, stride in levels])


def image_anchors(config: Config, image_shape: Sequence[int]) -> np.ndarray:
    """Anchors [A, 4] float64 (y1, x1, y2, x2) in pixels for an image of shape (height, width, …); cached by shape."""
    shapes = compute_backbone_shapes(config, image_shape)
    return _cached_anchors(
        tuple(config.RPN_ANCHOR_SCALES),
        tuple(config.RPN_ANCHOR_RATIOS),
        tuple(map(tuple, shapes.tolist())),
        tuple(config.BACKBONE_STRIDES),
        config.RPN_ANCHOR_STRIDE,
    )


@functools.lru_cache(maxsize=16)
def _cached_anchors(scales, ratios, shapes, strides, anchor_stride) -> np.ndarray:
    anchors = generate_pyramid_anchors(scales, ratios, np.array(shapes), strides, anchor_stride)
    anchors.flags.writeable = False
    return anchors


def normalised_anchors(config: Config, image_shape: Sequence[int]) -> np.ndarray:
    """Anchors [A, 4] float32 (y1, x1, y2, x2) as fractions of an image of shape (height, width, …)."""
    return norm_boxes(image_anchors(config, image_shape), (image_shape[0], image_shape[1]))
