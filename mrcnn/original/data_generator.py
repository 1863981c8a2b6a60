"""Matterport's generator of batches with detection targets, for scripts that inspect them; training uses neither."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.data.augmentation import Augmentation
from mrcnn.data.batches import BatchLoader
from mrcnn.data.dataset import Dataset
from mrcnn.data.image_meta import mold_image
from mrcnn.network.detection_targets import DetectionTargets
from mrcnn.shapes.boxes import denorm_boxes, norm_boxes
from mrcnn.shapes.masks import is_covered

NEAR_OBJECTS = 0.9
"""Fraction of random regions that are near an object."""

Arrays = list[NDArray[Any]]


def data_generator(
    dataset: Dataset,
    config: Config,
    shuffle: bool = True,
    augment: bool = False,
    augmentation: Any = None,
    random_rois: int = 0,
    batch_size: int = 1,
    detection_targets: bool = False,
    no_augmentation_sources: list[str] | None = None,
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield ([images float32 molded, image_meta, rpn_match, rpn_bbox, gt_class_ids, gt_boxes, gt_masks], []) endlessly.

    `augment` mirrors half of the images. With `random_rois` > 0 that number of random regions an image, [B, R, 4] int32
    in pixels, is appended to the first list; with `detection_targets` also those sampled from them, [B, T, 4], and the
    second list holds their class ids [B, T, 1], deltas [B, T, C, 4] and masks [B, T, h, w, C].
    """
    if augment and augmentation is None:
        augmentation = Augmentation(flip=0.5)
    loader = BatchLoader(dataset, config, shuffle, augmentation, batch_size, no_augmentation_sources)
    step = 0
    while True:
        batch = loader.batch(step)
        gt_masks = is_covered(batch.gt_masks) if config.USE_MINI_MASK else batch.gt_masks
        arrays = [*batch.arrays()[:-1], gt_masks]
        inputs, targets = [mold_image(arrays[0], config), *arrays[1:]], []
        if random_rois:
            ground_truth: list[Any] = list(zip(batch.gt_class_ids, batch.gt_boxes, gt_masks, strict=True))
            shape = arrays[0].shape[1:]
            regions = [
                generate_random_rois(shape, random_rois, ids[ids > 0], gt[ids > 0]) for ids, gt, _ in ground_truth
            ]
            inputs.append(np.stack(regions))
            if detection_targets:
                pairs = zip(regions, ground_truth, strict=True)
                by_image = [build_detection_targets(rois, ids, gt, masks, config) for rois, (ids, gt, masks) in pairs]
                rois, class_ids, *others = (np.stack(part) for part in zip(*by_image, strict=True))
                inputs.append(rois)
                targets = [class_ids[..., None], *others]
        yield inputs, targets
        step += 1


def generate_random_rois(
    image_shape: Any, count: int, gt_class_ids: NDArray[Any], gt_boxes: NDArray[Any]
) -> NDArray[np.int32]:
    """Return random regions [count, 4] int32 (y1, x1, y2, x2) in pixels, not empty, by NumPy's global random state.

    NEAR_OBJECTS of them are inside a box of gt_boxes enlarged to three times its sides, the same number for each box;
    the others are anywhere in the image.

    Args:
        image_shape: (H, W, …), sides of at least 2 pixels.
        count: number of regions.
        gt_class_ids: [N]; unused, part of matterport's signature.
        gt_boxes: [N, 4] in pixels.
    """
    rng = np.random.default_rng(np.random.randint(2**31))
    height, width = image_shape[:2]
    objects = np.asarray(gt_boxes, int).reshape(-1, 4)
    sides = objects[:, 2:] - objects[:, :2]
    around = np.concatenate([objects[:, :2] - sides, objects[:, 2:] + sides], axis=1)
    places = np.concatenate([around.clip(0, [height, width, height, width]), [[0, 0, height, width]]])
    near = int(NEAR_OBJECTS * count) // len(objects) if len(objects) else 0
    counts = [near] * len(objects) + [count - near * len(objects)]
    low, high = np.split(np.repeat(places, counts, axis=0), 2, axis=1)
    first = rng.integers(low, high + 1)
    # adding 1 … (high - low), modulo (high - low + 1), never gives the same coordinate
    second = low + (first - low + rng.integers(1, high - low + 1)) % (high - low + 1)
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1).astype(np.int32)


def build_detection_targets(
    rpn_rois: NDArray[Any], gt_class_ids: NDArray[Any], gt_boxes: NDArray[Any], gt_masks: NDArray[Any], config: Config
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return detection targets of T = TRAIN_ROIS_PER_IMAGE regions of one image, as arrays by class.

    Args:
        rpn_rois: [N, 4] (y1, x1, y2, x2) in pixels.
        gt_class_ids: [G].
        gt_boxes: [G, 4] in pixels.
        gt_masks: [H, W, G], or mini masks [h, w, G].
        config: the settings; USE_MINI_MASK tells what the masks are, and IMAGE_SHAPE then the size of the image.

    Returns:
        rois [T, 4] int32 in pixels, positives first, padded with zeros; class_ids [T] int32; deltas [T, C, 4] and masks
        [T, h, w, C] float32, zeros except for the class of a positive.
    """
    height, width = gt_masks.shape[:2] if not config.USE_MINI_MASK else tuple(config.IMAGE_SHAPE[:2])
    shape = int(height), int(width)
    inputs = (
        norm_boxes(rpn_rois, shape),
        gt_class_ids.astype(np.int32),
        gt_boxes.astype(np.int32),
        gt_masks.astype(bool),
    )
    targets = DetectionTargets(config)([*(tf.constant(part[None]) for part in inputs), tf.constant(shape)])
    regions, class_ids, deltas, masks = (part.numpy()[0] for part in targets)
    rois = denorm_boxes(regions, shape) * regions.any(axis=1)[:, None]
    positive = np.flatnonzero(class_ids > 0)
    by_class = np.zeros((len(rois), config.NUM_CLASSES, 4), np.float32)
    by_class[positive, class_ids[positive]] = deltas[positive]
    masks_by_class = np.zeros((len(rois), *config.MASK_SHAPE, config.NUM_CLASSES), np.float32)
    masks_by_class[positive, :, :, class_ids[positive]] = masks[positive]
    return rois.astype(np.int32), class_ids, by_class, masks_by_class
