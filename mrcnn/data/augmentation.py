"""Augmentation: random mirror images, sizes and colours of training images; boxes and masks move along.

Where the moved image lies is `resizing.Frame`'s business; augmenters of imgaug's kind are called here too.
"""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.data.resizing import Frame

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in luma, ITU-R BT.601."""

_imgaug_lock = threading.Lock()

KEEPS_MASKS_IN_PLACE = (
    "Sequential", "SomeOf", "OneOf", "Sometimes", "Fliplr", "Flipud", "CropAndPad", "Affine", "PiecewiseAffine",
)  # fmt: skip
"""imgaug's augmenters that may be applied to masks, the original's list."""


@dataclass(frozen=True)
class Augmentation:
    """How much training images are changed; every default leaves them as they are."""

    flip: float = 0.0
    """Probability that left and right are exchanged."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Least and largest factor of the image's size; the network's input keeps its shape."""
    brightness: float = 0.0
    """Largest relative change of all values: 0.2 multiplies by 0.8 … 1.2."""
    contrast: float = 0.0
    """Largest relative change of the distance from middle grey."""
    saturation: float = 0.0
    """Largest relative change of the distance from the pixel's own grey."""

    def change_frame(self, frame: Frame, rng: np.random.Generator) -> Frame:
        """Return `frame` mirrored and rescaled at random; draws the same number of values whatever the settings."""
        mirrored, factor = rng.random() < self.flip, rng.uniform(*self.scale)
        if factor != 1:
            frame = frame.rescaled(factor, rng)
        return Frame(frame.source, frame.size, frame.offset, frame.shape, frame.scale, mirrored)

    def colour_matrix(self, rng: np.random.Generator) -> NDArray[np.float32] | None:
        """Return [3, 4] float32, what (r, g, b, 1) is multiplied by, or None where no colour changes."""
        brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * [self.brightness, self.contrast, self.saturation]
        if not (self.brightness or self.contrast or self.saturation):
            return None
        mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * np.tile(_GREY, (3, 1))
        shift = np.full((3, 1), 127.5 * (1 - contrast))
        return np.concatenate([brightness * contrast * mix, shift], axis=1).astype(np.float32)


def change_colours(image: NDArray[np.uint8], matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return `image` [H, W, 3] uint8 with every (r, g, b, 1) multiplied by `matrix` [3, 4], cut to 0 … 255."""
    import cv2

    return np.asarray(cv2.transform(image, matrix), np.uint8)


def apply_augmenter(
    augmenter: Any, image: NDArray[np.uint8], masks: NDArray[np.bool_], seed: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return image [H, W, 3] and masks [H, W, N] changed alike by an augmenter of imgaug's kind.

    `augmenter.to_deterministic()` must return an object whose `augment_image(array)` repeats the same change. An
    imgaug augmenter is asked, by its hooks, to leave masks alone where it changes colours only; another kind may
    offer `augment_mask(array)` for that. `seed` makes the change repeatable where the object has imgaug's `seed_`.

    Raises:
        TypeError: it is no augmenter of that kind.
        ValueError: the augmenter changed the size of the image or of the masks.
    """
    _check_kind(augmenter)
    with _imgaug_lock:
        fixed = augmenter.to_deterministic()
        if seed is not None and hasattr(fixed, "seed_"):
            fixed.seed_(seed, deterministic_too=True)
    changed = np.asarray(fixed.augment_image(image))
    of_masks = masks
    if masks.shape[-1]:
        of_masks = np.asarray(_augment_masks(fixed, masks.astype(np.uint8))) != 0
    if changed.shape != image.shape or of_masks.shape != masks.shape:
        raise ValueError(
            f"the augmenter changed the image from {image.shape} to {changed.shape} and its masks from {masks.shape} "
            f"to {of_masks.shape}; only augmenters that keep sizes can be used"
        )
    return changed, of_masks


def _check_kind(augmenter: Any) -> None:
    if not hasattr(augmenter, "to_deterministic"):
        kind = type(augmenter)
        raise TypeError(
            f"augmentation is a {kind.__module__}.{kind.__qualname__}; it must be a "
            "mrcnn.data.augmentation.Augmentation or an augmenter of imgaug's kind, an object with to_deterministic() "
            "whose result has augment_image(array) (those of albumentations have neither: wrap them)"
        )


def _augment_masks(fixed: Any, masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if type(fixed).__module__.partition(".")[0] == "imgaug":
        import imgaug  # type: ignore[import-not-found]  # only where the caller uses it

        hooks = imgaug.HooksImages(activator=lambda images, part, *_: type(part).__name__ in KEEPS_MASKS_IN_PLACE)
        return fixed.augment_image(masks, hooks=hooks)
    return fixed.augment_mask(masks) if hasattr(fixed, "augment_mask") else fixed.augment_image(masks)
