"""Augmentation of training images by mirroring, scaling and colour changes, or by imgaug's augmenters."""

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
"""Augmenters of imgaug that are applied to masks, as in matterport's code."""


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes of training images; the defaults change nothing."""

    flip: float = 0.0
    """Probability of mirroring left and right."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest factor of the image's size; the shape of the network's input does not change."""
    brightness: float = 0.0
    """Largest relative change of all values: with 0.2, factors of 0.8 … 1.2."""
    contrast: float = 0.0
    """Largest relative change of the distance from middle grey."""
    saturation: float = 0.0
    """Largest relative change of the distance from the pixel's own grey."""

    def change_frame(self, frame: Frame, rng: np.random.Generator) -> Frame:
        """Return `frame` randomly mirrored and rescaled."""
        mirrored, factor = rng.random() < self.flip, rng.uniform(*self.scale)
        if factor != 1:
            frame = frame.rescaled(factor, rng)
        return Frame(frame.source, frame.size, frame.offset, frame.shape, frame.scale, mirrored)

    def colour_matrix(self, rng: np.random.Generator) -> NDArray[np.float32] | None:
        """Return a random matrix [3, 4] float32 to multiply with (r, g, b, 1), or None if colours are not changed."""
        brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * [self.brightness, self.contrast, self.saturation]
        if not (self.brightness or self.contrast or self.saturation):
            return None
        mix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * np.tile(_GREY, (3, 1))
        shift = np.full((3, 1), 127.5 * (1 - contrast))
        return np.concatenate([brightness * contrast * mix, shift], axis=1).astype(np.float32)


def change_colours(image: NDArray[np.uint8], matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return `image` [H, W, 3] uint8 with each (r, g, b, 1) multiplied by `matrix` [3, 4], clipped to 0 … 255.

    Raises:
        ValueError: the image has not three channels.
    """
    import cv2

    if image.shape[2] != 3:
        raise ValueError(
            f"brightness, contrast and saturation of an Augmentation change RGB images, not {image.shape[2]} channels: "
            "leave them out"
        )
    return np.asarray(cv2.transform(image, matrix), np.uint8)


def apply_augmenter(
    augmenter: Any, image: NDArray[np.uint8], masks: NDArray[np.bool_], seed: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return image [H, W, 3] and masks [H, W, N] after the same change by an augmenter with imgaug's interface.

    `augmenter.to_deterministic()` must return an object whose `augment_image(array)` repeats the same change. Hooks
    keep imgaug's colour augmenters from changing masks; other objects may have `augment_mask(array)` for masks. `seed`
    makes the change reproducible if the object has imgaug's `seed_`.

    Raises:
        TypeError: the augmenter does not have this interface.
        ValueError: the augmenter changed the size of the image or of the masks.
    """
    _check_interface(augmenter)
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


def _check_interface(augmenter: Any) -> None:
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
