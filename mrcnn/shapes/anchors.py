"""Anchors as NumPy arrays: the reference boxes at each position of each pyramid level."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.shapes.boxes import norm_boxes

Floats = NDArray[np.float64]


def compute_backbone_shapes(config: Config, image_shape: Sequence[int]) -> NDArray[np.int64]:
    """Return (height, width) of all levels, [levels, 2] int64, for an image of shape (height, width, …) in pixels.

    Raises:
        ValueError: the backbone is a callable and COMPUTE_BACKBONE_SHAPE is None.
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
) -> Floats:
    """Return anchors [positions · shapes, 4] float64 (y1, x1, y2, x2) in pixels of a level of shape (height, width).

    Sorted by row, column, and anchor shape; ratios are width over height at the same area.
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
    feature_shapes: NDArray[np.int64],
    feature_strides: Sequence[int],
    anchor_stride: int,
) -> Floats:
    """Return anchors [A, 4] float64 (y1, x1, y2, x2) in pixels of all levels, finest level first."""
    levels = zip(scales, feature_shapes, feature_strides, strict=True)
    return np.concatenate([generate_anchors(s, ratios, shape, stride, anchor_stride) for s, shape, stride in levels])


def image_anchors(config: Config, image_shape: Sequence[int]) -> Floats:
    """Return anchors [A, 4] float64 (y1, x1, y2, x2) in pixels for an image of shape (height, width, …), cached."""
    shapes = compute_backbone_shapes(config, image_shape)
    return _cached_anchors(
        tuple(config.RPN_ANCHOR_SCALES),
        tuple(config.RPN_ANCHOR_RATIOS),
        tuple(map(tuple, shapes.tolist())),
        tuple(config.BACKBONE_STRIDES),
        config.RPN_ANCHOR_STRIDE,
    )


@functools.lru_cache(maxsize=16)
def _cached_anchors(
    scales: tuple[float, ...], ratios: tuple[float, ...], shapes: Any, strides: tuple[int, ...], anchor_stride: int
) -> Floats:
    anchors = generate_pyramid_anchors(scales, ratios, np.array(shapes), strides, anchor_stride)
    anchors.flags.writeable = False
    return anchors


def normalised_anchors(config: Config, image_shape: Sequence[int]) -> NDArray[np.float32]:
    """Return anchors [A, 4] float32 (y1, x1, y2, x2) in fractions of an image of shape (height, width, …)."""
    return norm_boxes(image_anchors(config, image_shape), (image_shape[0], image_shape[1]))
