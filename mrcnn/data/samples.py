"""Training samples: images with their instances as inputs of the network.

`load_sample` uses encoded bytes and polygons if the dataset has them; `load_image_gt` has the results of matterport's.
"""

import itertools
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.data import resizing
from mrcnn.data.augmentation import Augmentation, apply_augmenter, change_colours
from mrcnn.data.dataset import Dataset, StoredImage
from mrcnn.data.image_meta import compose_image_meta
from mrcnn.data.resizing import Frame
from mrcnn.shapes import masks, polygons


@dataclass(frozen=True)
class Sample:
    """An input image of the network with its N instances."""

    image: NDArray[np.uint8]
    """[H, W, C], RGB for three channels."""
    meta: NDArray[np.float64]
    """[12 + NUM_CLASSES], see `image_meta.compose_image_meta`."""
    class_ids: NDArray[np.int32]
    """[N]; negative: a crowd."""
    boxes: NDArray[np.int32]
    """[N, 4] (y1, x1, y2, x2) in pixels of the input."""
    masks: NDArray[Any]
    """Mini masks [h, w, N] uint8, coverage of cells within the boxes, 0 to polygons.FULL; or [H, W, N] bool."""


def load_sample(
    stored: StoredImage,
    config: Config,
    frame: Frame,
    rng: np.random.Generator,
    augmentation: Any = None,
) -> Sample:
    """Return the sample of an image placed in `frame` and augmented.

    Args:
        stored: the image.
        config: the settings.
        frame: placement of the image in the input.
        rng: source of all random values.
        augmentation: None, an `Augmentation`, or an augmenter with imgaug's interface.
    """
    ours = augmentation if isinstance(augmentation, Augmentation) else Augmentation()
    frame = ours.change_frame(frame, rng)
    image = frame.place(stored.pixels_at(frame.size if config.FAST_DECODE else None))
    colours = ours.colour_matrix(rng)
    if colours is not None:
        image = change_colours(image, colours)
    meta = _meta(stored, config, frame)
    outlines = stored.dataset.polygons(stored.image_id)
    foreign = augmentation is not None and not isinstance(augmentation, Augmentation)
    if outlines is not None and not foreign:
        ids = _checked_ids(stored, outlines[1], config)
        return Sample(image, meta, *_instances_of_polygons(outlines[0], ids, frame, config))
    full, class_ids = _placed_masks(stored, frame, config)
    if foreign:
        image, full = apply_augmenter(augmentation, image, full, int(rng.integers(2**31)))
    class_ids, boxes, full = _instances_of_masks(full, class_ids)
    if not config.USE_MINI_MASK:
        return Sample(image, meta, class_ids, boxes, full)
    # not rounded here: the network rounds once, after cropping to a region (detection_targets)
    return Sample(image, meta, class_ids, boxes, masks.mini_coverage(boxes, full, config.MINI_MASK_SHAPE))


def _meta(stored: StoredImage, config: Config, frame: Frame) -> NDArray[np.float64]:
    active = active_class_ids(stored.dataset, stored.image_id, config.NUM_CLASSES)
    source, shape = ((*size, config.IMAGE_CHANNEL_COUNT) for size in (stored.size, frame.shape))
    return compose_image_meta(stored.image_id, source, shape, frame.window, frame.scale, active)


def active_class_ids(dataset: Dataset, image_id: int, num_classes: int) -> NDArray[np.int32]:
    """Return [num_classes] int32: 1 for each class that is labelled in the image's source, and for the background."""
    active = np.zeros(num_classes, np.int32)
    active[dataset.source_class_ids[dataset.image_info[image_id]["source"]]] = 1
    return active


def _instances_of_polygons(
    outlines: list[list[polygons.Ring]], class_ids: NDArray[np.int32], frame: Frame, config: Any
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]:
    """Return class ids [N], boxes [N, 4] and masks, as in `Sample`, of the instances inside the frame."""
    window, pixel = frame.window, frame.pixel
    shown = [polygons.clipped(rings, window) for rings in _moved(outlines, frame)]
    kept = [number for number, rings in enumerate(shown) if rings]
    instances = [shown[number] for number in kept]
    boxes = np.array([polygons.pixel_box(rings, window, pixel, frame.offset) for rings in instances], np.int32)
    boxes = boxes.reshape(-1, 4)
    ids = np.asarray(class_ids, np.int32)[kept]
    if config.USE_MINI_MASK:
        mini = polygons.coverage(instances, boxes, tuple(config.MINI_MASK_SHAPE[:2]), pixel)
        return ids, boxes, np.moveaxis(mini, 0, -1)
    full = np.zeros((len(instances), *frame.shape), bool)
    for out, rings in zip(full, instances, strict=True):
        out[:] = polygons.mask(rings, *frame.shape, window, pixel)
    return ids, boxes, np.moveaxis(full, 0, -1)


def _moved(outlines: list[list[polygons.Ring]], frame: Frame) -> list[list[polygons.Ring]]:
    """Return the rings in pixels of the frame, all vertices moved at once."""
    rings = [ring for of_one in outlines for ring in of_one]
    if not rings:
        return outlines
    points = frame.move(np.concatenate(rings))
    ends = itertools.accumulate(len(ring) for ring in rings)
    moved = iter([points[end - len(ring) : end] for ring, end in zip(rings, ends, strict=True)])
    return [list(itertools.islice(moved, len(of_one))) for of_one in outlines]


def _placed_masks(stored: StoredImage, frame: Frame, config: Config) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Return the dataset's masks in the frame [H, W, N], resized to the nearest pixel, and their class ids [N]."""
    mask, class_ids = stored.dataset.load_mask(stored.image_id)
    class_ids = _checked_ids(stored, class_ids, config)
    mask = np.asarray(mask)
    if not mask.size and not len(class_ids):  # matterport's own load_mask returned np.empty([0, 0, 0])
        mask = mask.reshape(*stored.size, 0)
    _check_mask(stored, mask, class_ids)
    rows, columns = (resizing.nearest(side, new) for side, new in zip(frame.source, frame.size, strict=True))
    columns = columns[::-1] if frame.mirrored else columns
    y1, x1, y2, x2 = frame.window
    top, left = frame.offset
    placed = np.zeros((*frame.shape, mask.shape[2]), bool)
    placed[y1:y2, x1:x2] = mask[rows[y1 - top : y2 - top]][:, columns[x1 - left : x2 - left]] != 0
    return placed, class_ids


def _checked_ids(stored: StoredImage, class_ids: Any, config: Config) -> NDArray[np.int32]:
    ids = np.asarray(class_ids, np.int32)
    unknown = ids[(ids == 0) | (np.abs(ids) >= config.NUM_CLASSES)]
    if len(unknown):
        raise ValueError(
            f"{stored.name} has an instance of class id {unknown[0]}; with Config.NUM_CLASSES {config.NUM_CLASSES} ids "
            f"are 1 … {config.NUM_CLASSES - 1} (0 is the background, and a negative id a crowd)"
        )
    return ids


def _check_mask(stored: StoredImage, mask: NDArray[Any], class_ids: Any) -> None:
    expected = (*stored.size, len(class_ids))
    if mask.shape != expected:
        raise ValueError(f"{stored.name}: load_mask returned masks of shape {mask.shape}; it must be {expected}")


def _instances_of_masks(
    full: NDArray[np.bool_], class_ids: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Return class ids [N], boxes [N, 4] and masks [H, W, N] of the masks [H, W, M] that are not empty."""
    boxes = masks.extract_bboxes(full)
    kept = np.flatnonzero(boxes[:, 2] > boxes[:, 0])
    return class_ids[kept], boxes[kept], full[:, :, kept]


def load_image_gt(
    dataset: Dataset,
    config: Config,
    image_id: int,
    augment: bool = False,
    augmentation: Any = None,
    use_mini_mask: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Load and resize an image with its masks, as matterport's function.

    Args:
        dataset: a prepared dataset.
        config: the settings.
        image_id: index of the image in the dataset.
        augment: mirror half of the images (deprecated), by Python's `random`.
        augmentation: an `Augmentation`, or an augmenter with imgaug's interface.
        use_mini_mask: return mini masks of MINI_MASK_SHAPE.

    Returns:
        image [H, W, C] uint8; image_meta [12 + NUM_CLASSES] float64; class_ids [N] int32; bbox [N, 4] int32
        (y1, x1, y2, x2) in pixels; mask [H, W, N] bool, or [h, w, N] for mini masks. Empty masks are removed.
    """
    stored = StoredImage(dataset, image_id, config.IMAGE_CHANNEL_COUNT)
    rng = np.random.default_rng(random.getrandbits(64))
    frame = resizing.frame_for(stored.size, config, rng)
    if isinstance(augmentation, Augmentation):
        frame = augmentation.change_frame(frame, rng)
    if augment and random.random() < 0.5:  # noqa: S311  (old scripts seed this generator)
        frame = Augmentation(flip=1.0).change_frame(frame, rng)
    image = resizing.placed_exactly(stored.loaded, frame, config.FAST_DECODE)
    colours = augmentation.colour_matrix(rng) if isinstance(augmentation, Augmentation) else None
    if colours is not None:
        image = change_colours(image, colours)
    full, class_ids = _placed_masks(stored, frame, config)
    if augmentation is not None and not isinstance(augmentation, Augmentation):
        image, full = apply_augmenter(augmentation, image, full)
    class_ids, boxes, full = _instances_of_masks(full, class_ids)
    if use_mini_mask:
        full = masks.minimize_mask(boxes, full, config.MINI_MASK_SHAPE)
    return image, _meta(stored, config, frame), class_ids, boxes, full
