"""Resizing of images and masks in a graph, with the results of OpenCV's functions that the input pipeline uses."""

import tensorflow as tf

LEAST_COVERAGE = 1e-3
"""Part of a pixel below which OpenCV leaves it out of a mean."""


def mean_of_blocks(image: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
    """Return `image` [H, W, C] uint8 at 1/`by` of its size, rounded up, as cv2.resize with INTER_AREA: uint8.

    Args:
        image: the pixels.
        by: 1, 2, 4 or 8, [] int32.
    """
    source = tf.shape(image)[:2]
    pixels = image
    for side in tf.unstack(source):
        pixels = tf.transpose(_means_of_rows(pixels, side, by), (1, 0, 2))
    # OpenCV rounds a half up for whole blocks of 2 × 2, else to even
    halves_up = tf.reduce_all(source % by == 0) & (by == 2)
    return tf.cast(tf.where(halves_up, tf.floor(pixels + 0.5), tf.round(pixels)), tf.uint8)


def _means_of_rows(pixels: tf.Tensor, source: tf.Tensor, by: tf.Tensor) -> tf.Tensor:
    """Return the mean [H / by, W, C] float32 of each `by` rows of `pixels` [H, W, C]; H is `source`."""
    target = divided_up(source, by)
    scale = tf.cast(source, tf.float64) / tf.cast(target, tf.float64)
    start = tf.cast(tf.range(target), tf.float64) * scale

    def added(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row = tf.floor(start) + tf.cast(number, tf.float64)
        covered = tf.minimum(row + 1, start + scale) - tf.maximum(row, start)
        weight = tf.cast(tf.where(covered > LEAST_COVERAGE, covered, tf.zeros_like(covered)) / scale, tf.float32)
        taken = tf.gather(pixels, tf.minimum(tf.cast(row, tf.int32), source - 1))
        return number + 1, total + tf.cast(taken, tf.float32) * weight[:, None, None]

    count = tf.where(target * by == source, by, by + 1)
    nothing = tf.zeros(tf.concat([target[None], tf.shape(pixels)[1:]], axis=0))
    return tf.while_loop(lambda number, _: number < count, added, (tf.constant(0), nothing))[1]


def divided_up(number: tf.Tensor, divisor: tf.Tensor | int) -> tf.Tensor:
    """Return number / divisor, both positive integers, rounded up; ONNX rounds negative quotients differently."""
    return (number + divisor - 1) // divisor


def linear(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return `image` [H, W, C] scaled to `size` [2] (height, width), float32, as cv2.resize with INTER_LINEAR.

    Half-pixel centres; beyond the outer ones the border is repeated.
    """
    pixels = image
    for side in tf.unstack(size):
        pixels = tf.transpose(_interpolated_rows(pixels, side), (1, 0, 2))
    return pixels


def _interpolated_rows(pixels: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return `target` rows [target, W, C] float32, interpolated between those of `pixels` [H, W, C]."""
    source = tf.shape(pixels)[0]
    centre = centres(source, target)
    before = tf.floor(centre)
    first, second = (
        tf.cast(tf.gather(pixels, tf.clip_by_value(tf.cast(before, tf.int32) + step, 0, source - 1)), tf.float32)
        for step in (0, 1)
    )
    return first + (second - first) * tf.cast(centre - before, tf.float32)[:, None, None]


def centres(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the centres of `target` pixels in those of a line of `source`, [target] float64, 0 being the first's."""
    scale = tf.cast(source, tf.float64) / tf.cast(target, tf.float64)
    return (tf.cast(tf.range(target), tf.float64) + 0.5) * scale - 0.5


def pasted_masks(masks: tf.Tensor, boxes: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return masks pasted into their boxes in an image of `size` [2] (height, width), as `shapes.masks.unmold_masks`.

    Args:
        masks: [N, h, w] float32, probabilities.
        boxes: [N, 4] int32 (y1, x1, y2, x2) in pixels, inside the image and not empty.
        size: [2] int32.

    Returns:
        [N, H, W] bool.
    """

    def pasted(instance: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        mask, box = instance
        y1, x1, y2, x2 = tf.unstack(box)
        rows, columns = _hats(masks.shape[1], y2 - y1), _hats(masks.shape[2], x2 - x1)
        inside = tf.linalg.matmul(tf.linalg.matmul(rows, mask), columns, transpose_b=True) >= 0.5
        around = [[y1, size[0] - y2], [x1, size[1] - x2]]
        return tf.pad(tf.cast(inside, tf.uint8), around)

    def all_pasted() -> tf.Tensor:
        return tf.map_fn(pasted, (masks, boxes), fn_output_signature=tf.TensorSpec((None, None), tf.uint8))

    # TensorFlow can't stack no masks of a size that is not fixed
    count = tf.shape(boxes)[0]
    whole = tf.cond(count > 0, all_pasted, lambda: tf.zeros(tf.concat([[0], size], axis=0), tf.uint8))
    return tf.cast(whole, tf.bool)


def _hats(source: int, target: tf.Tensor) -> tf.Tensor:
    """Return the weights [target, source] float32 of linear interpolation, with zeros beyond the samples."""
    distance = centres(tf.constant(source), target)[:, None] - tf.range(source, dtype=tf.float64)
    return tf.cast(tf.maximum(tf.constant(0.0, tf.float64), 1.0 - tf.abs(distance)), tf.float32)
