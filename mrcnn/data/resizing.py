"""Resizing of images and masks to the network's input; a `Frame` holds scale, mirroring, offset, padding or crop."""

import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config

Padding = list[tuple[int, int]]

PAD_MULTIPLE = {"pad64": 64, "pad32": 32}
"""Resize modes that pad each side to a multiple of pixels."""

UNTRUNCATED = 1e-3
"""Tolerance for rounding errors of float32 interpolation below whole numbers."""


@dataclass(frozen=True)
class Frame:
    """Placement of an image in the network's input; all sizes are (height, width) in pixels."""

    source: tuple[int, int]
    """Size of the image as stored."""
    size: tuple[int, int]
    """Size of the whole image after scaling."""
    offset: tuple[int, int]
    """(top, left) of the scaled image in the input; negative if it is cropped."""
    shape: tuple[int, int]
    """Size of the input."""
    scale: float
    """Scale factor; `size` is `source` times this, rounded."""
    mirrored: bool = False
    """Whether left and right are exchanged."""

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(y1, x1, y2, x2) of the image in the input, in pixels."""
        (top, left), (height, width) = self.offset, self.size
        return max(top, 0), max(left, 0), min(top + height, self.shape[0]), min(left + width, self.shape[1])

    @property
    def pixel(self) -> tuple[float, float]:
        """(height, width) of a pixel of the stored image in pixels of the input."""
        return self.size[0] / self.source[0], self.size[1] / self.source[1]

    def widened(self, shape: tuple[int, int]) -> "Frame":
        """Return the frame centred in an input of `shape`, which must not be smaller."""
        top, left = ((large - small) // 2 for large, small in zip(shape, self.shape, strict=True))
        return replace(self, offset=(self.offset[0] + top, self.offset[1] + left), shape=shape)

    def rescaled(self, factor: float, rng: np.random.Generator) -> "Frame":
        """Return the frame with the image scaled by `factor`, at a random offset, in an input of the same shape."""
        size = tuple(max(1, round(side * factor)) for side in self.size)
        slack = [side - new for side, new in zip(self.shape, size, strict=True)]
        offset = tuple(int(rng.integers(min(0, room), max(0, room) + 1)) for room in slack)
        return replace(self, size=size, offset=offset, scale=self.scale * factor)  # type: ignore[arg-type]

    def move(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return `points` [K, 2] (x, y) in pixels of the stored image as [K, 2] float64 in pixels of the input."""
        moved = np.asarray(points, np.float64) * self.pixel[::-1]
        if self.mirrored:
            moved[:, 0] = self.size[1] - moved[:, 0]
        return moved + np.array([self.offset[1], self.offset[0]])

    def place(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the input [*shape, C] uint8: `pixels` [h, w, C] scaled bilinearly and padded with zeros.

        `pixels` may be smaller than the stored image, if it was decoded at a fraction of its size.
        """
        import cv2

        height, width = self.size
        scaled = pixels
        if pixels.shape[:2] != self.size:
            scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
        if self.mirrored:
            scaled = cv2.flip(scaled, 1).reshape(scaled.shape)
        y1, x1, y2, x2 = self.window
        top, left = self.offset
        visible = scaled[y1 - top : y2 - top, x1 - left : x2 - left]
        if visible.shape[:2] == self.shape:
            return np.ascontiguousarray(visible)
        placed = np.zeros((*self.shape, pixels.shape[2]), pixels.dtype)
        placed[y1:y2, x1:x2] = visible
        return placed


def scale_for(
    source: tuple[int, int],
    min_dim: int | None = None,
    max_dim: int | None = None,
    min_scale: float | None = None,
) -> float:
    """Return the scale factor of an image of `source` (h, w): up to `min_dim` on its short side, within `max_dim`.

    Only `max_dim`, the limit of the long side, scales an image down.
    """
    scale: float = 1
    if min_dim:
        scale = max(1, min_dim / min(source))
    if min_scale and scale < min_scale:
        scale = min_scale
    if max_dim and round(max(source) * scale) > max_dim:
        scale = max_dim / max(source)
    return scale


def frame_for(source: tuple[int, int], config: Config, rng: np.random.Generator | None = None) -> Frame:
    """Return the placement of an image of `source` (h, w) in the network's input by the settings of `config`.

    Unlike `resize_image`, pad64 and pad32 also scale down to IMAGE_MAX_DIM with IMAGE_PAD_BOUNDED. Crops are at a
    random offset with `rng`; without it, for detection, the whole image is the input, padded as with pad32.
    """
    mode = config.IMAGE_RESIZE_MODE
    bounded = mode == "square" or (mode in PAD_MULTIPLE and config.IMAGE_PAD_BOUNDED)
    max_dim = config.IMAGE_MAX_DIM if bounded else None
    scale = 1.0 if mode == "none" else scale_for(source, config.IMAGE_MIN_DIM, max_dim, config.IMAGE_MIN_SCALE)
    size = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
    frame = Frame(source, size, (0, 0), (0, 0), scale)
    if mode == "crop" and rng is None:
        mode = "pad32"
    return _in_its_input(frame, mode, config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM, rng)


def _in_its_input(
    frame: Frame, mode: str, min_dim: int | None, max_dim: int | None, rng: np.random.Generator | None
) -> Frame:
    """Return `frame` with the offset and shape of resize mode `mode`."""
    if mode == "none":
        return replace(frame, shape=frame.size)
    if mode == "crop" and rng is not None:
        if not min_dim:
            raise ValueError("resize mode 'crop' needs a min_dim: the side of the square that is cropped")
        top, left = (int(rng.integers(0, side - min_dim + 1)) for side in frame.size)
        return replace(frame, offset=(-top, -left), shape=(min_dim, min_dim))
    if mode == "square":
        if not max_dim:
            raise ValueError("resize mode 'square' needs a max_dim: the side of the square")
        shape = (max_dim, max_dim)
    elif mode in PAD_MULTIPLE:
        multiple = PAD_MULTIPLE[mode]
        shape = (-(-frame.size[0] // multiple) * multiple, -(-frame.size[1] // multiple) * multiple)
    else:
        raise ValueError(f"resize mode {mode!r} is not one of none, square, pad64, pad32, crop")
    offset = ((shape[0] - frame.size[0]) // 2, (shape[1] - frame.size[1]) // 2)
    return replace(frame, offset=offset, shape=shape)


def resize_image(
    image: NDArray[Any],
    min_dim: int | None = None,
    max_dim: int | None = None,
    min_scale: float | None = None,
    mode: str = "square",
) -> tuple[NDArray[Any], tuple[int, int, int, int], float, Padding, tuple[int, int, int, int] | None]:
    """Resize an image as matterport's function.

    Args:
        image: [H, W, C], any dtype, also of the result.
        min_dim: least length of the short side in pixels (`crop`: side of the square).
        max_dim: largest length of the long side in pixels; `square` only.
        min_scale: least scale factor.
        mode: none; square (padded to max_dim × max_dim); pad64, pad32 (padded to multiples of 64 or 32); crop (a square
            at an offset by Python's `random`).

    Returns:
        image; window (y1, x1, y2, x2) of the image without padding; scale; padding [(top, bottom), (left, right),
        (0, 0)]; crop (y, x, height, width) in the scaled image, or None.
    """
    source = (image.shape[0], image.shape[1])
    scale = 1 if mode == "none" else scale_for(source, min_dim, max_dim if mode == "square" else None, min_scale)
    size = (round(source[0] * scale), round(source[1] * scale))
    rng = np.random.default_rng(random.getrandbits(64)) if mode == "crop" else None
    frame = _in_its_input(Frame(source, size, (0, 0), (0, 0), scale), mode, min_dim, max_dim, rng)
    scaled = image if scale == 1 else resize(image, size)
    if mode == "crop":
        side = frame.shape[0]
        y, x = -frame.offset[0], -frame.offset[1]
        return scaled[y : y + side, x : x + side], (0, 0, side, side), scale, [(0, 0)] * 3, (y, x, side, side)
    padding = frame_padding(frame)
    placed = scaled if frame.shape == frame.size else np.pad(scaled, padding)
    return placed, frame.window, scale, padding, None


def frame_padding(frame: Frame) -> Padding:
    """Return the padding of the image in pixels, [(top, bottom), (left, right), (0, 0)], as for `np.pad`."""
    y1, x1, y2, x2 = frame.window
    return [(y1, frame.shape[0] - y2), (x1, frame.shape[1] - x2), (0, 0)]


def resize(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return `image` [H, W, C] scaled bilinearly to `size` (h, w), truncated to its dtype.

    Computed in float32 with half-pixel centres, as scikit-image's `resize` (order 1, no anti-aliasing), but padded at
    the border by repetition instead of zeros.
    """
    import cv2

    scaled = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    scaled = scaled.reshape(*size, -1)
    return scaled.astype(image.dtype) if image.dtype.kind == "f" else (scaled + UNTRUNCATED).astype(image.dtype)


def shrink(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return `pixels` [H, W, …] averaged over blocks of 2, 4 or 8, if the result is not smaller than `size` (h, w).

    For decoded images, the same as decoding JPEG files at a fraction of their size (FAST_DECODE).
    """
    import cv2

    from mrcnn.data.decoding import reduction

    by = reduction((pixels.shape[0], pixels.shape[1]), size)
    if by == 1:
        return pixels
    smaller = (-(-pixels.shape[1] // by), -(-pixels.shape[0] // by))
    return cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA).reshape(smaller[1], smaller[0], -1)


def resize_for(image: NDArray[Any], config: Config) -> tuple[NDArray[Any], Frame]:
    """Return the network's input [H, W, C] for detection in an image, of the image's dtype, and the placement."""
    frame = frame_for((image.shape[0], image.shape[1]), config)
    return placed_exactly(image, frame, config.FAST_DECODE), frame


def placed_exactly(image: NDArray[Any], frame: Frame, shrink_first: bool = False) -> NDArray[Any]:
    """Return the same as `frame.place(image)`, [h, w, …], scaled by `resize`, optionally after `shrink`.

    `Frame.place` is several times faster, but rounds values, which matterport's code truncates.
    """
    smaller = shrink(image, frame.size) if shrink_first else image
    scaled = smaller if smaller.shape[:2] == frame.size else resize(smaller, frame.size)
    return frame.place(scaled)


def resize_mask(
    mask: NDArray[Any], scale: float, padding: Padding, crop: tuple[int, int, int, int] | None = None
) -> NDArray[Any]:
    """Return masks [H, W, N] scaled to the nearest pixel, then cropped or padded by the results of `resize_image`.

    Samples include the first and last pixel, as in `scipy.ndimage.zoom(mask, order=0)`.
    """
    rows, columns = (nearest(side, round(side * scale)) for side in mask.shape[:2])
    scaled = mask[rows][:, columns]
    if crop is not None:
        y, x, h, w = crop
        return scaled[y : y + h, x : x + w]
    return np.pad(scaled, padding)


def nearest(side: int, new_side: int) -> NDArray[np.int64]:
    """Return the indices [new_side] of the nearest of `side` pixels, from the first to the last."""
    if side == new_side:
        return np.arange(side)
    step = (side - 1) / (new_side - 1) if new_side > 1 else 0.0
    return np.floor(np.arange(new_side) * step + 0.5).astype(np.int64)
