"""Winograd's minimal filtering for 3×3 convolutions: 36 multiplications a tile instead of 144.

F(4×4, 3×3) of Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks": tiles of the input are gathered,
transformed, multiplied by the transformed kernel, and transformed back.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mrcnn.ops.gradients import identity_after

STEP, SIDE = 4, 6
"""Pixels from one tile to the next, and side of a tile in the input."""
TILES_AT_ONCE = 1024
"""Approximate number of tiles in a strip; their intermediate results take about 100 MB at 256 channels."""

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)
# Bᵀ, G and Aᵀ of the paper; the Kronecker product of one with itself transforms rows and columns at once.
INPUT, KERNEL, OUTPUT = (np.kron(matrix, matrix) for matrix in (_INPUT, _KERNEL, _OUTPUT))


def convolve_3x3(
    features: tf.Tensor, kernel: tf.Tensor, pointwise: tuple[Callable[[tf.Tensor], tf.Tensor], int] | None = None
) -> tf.Tensor:
    """Convolve with stride 1 and padding "same", and apply `pointwise`, if given, to the result.

    Rounding errors are about ten times those of a direct convolution: 1e-5 of the largest value. Use
    `features_gradient` and `kernel_gradient` for gradients: automatic differentiation through the gathers is slow.

    Args:
        features: [B, H, W, C] float32.
        kernel: [3, 3, C, K] float32.
        pointwise: a function from pixels [N, K] to [N, K'], and K'. It is applied strip by strip, so that the whole
            convolution is never in memory.

    Returns:
        [B, H, W, K] float32, or K' with `pointwise`.
    """
    inputs, filters = kernel.shape[2], kernel.shape[3]
    function, channels = pointwise or (tf.identity, filters)
    kernel = identity_after(features, kernel)
    spectra = tf.reshape(tf.matmul(KERNEL, tf.reshape(kernel, (9, inputs * filters))), (-1, inputs, filters))
    grid = _Grid(features)
    padded = grid.padded(features, 1)

    def strip(first: tf.Tensor) -> tf.Tensor:
        products = tf.matmul(_transformed(padded, grid, first), spectra)
        pixels = tf.reshape(tf.matmul(OUTPUT, tf.reshape(products, (SIDE * SIDE, -1))), (-1, filters))
        return grid.lines(function(pixels))

    return grid.cropped(_stacked(grid, strip, channels), features)


def features_gradient(kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Return the gradient [B, H, W, C] with respect to the features, from that of the result [B, H, W, K]."""
    rotated = tf.reverse(identity_after(upstream, kernel), (0, 1))
    return convolve_3x3(upstream, tf.transpose(rotated, (0, 1, 3, 2)))


def kernel_gradient(features: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Return the gradient [3, 3, C, K] with respect to the kernel, from that of the result [B, H, W, K]."""
    inputs, filters = features.shape[3], upstream.shape[3]
    grid = _Grid(features)
    padded, results = grid.padded(features, 1), grid.padded(upstream, 0)

    def strip(first: tf.Tensor) -> tf.Tensor:
        products = tf.matmul(OUTPUT, grid.tiles(results, first, STEP, counted_once=True), transpose_a=True)
        products = tf.reshape(products, (SIDE * SIDE, -1, filters))
        return tf.matmul(_transformed(padded, grid, first), products, transpose_a=True)

    spectra = _summed(grid, strip, (SIDE * SIDE, inputs, filters))
    gradient = tf.matmul(KERNEL, tf.reshape(spectra, (SIDE * SIDE, -1)), transpose_a=True)
    return tf.reshape(gradient, (3, 3, inputs, filters))


def _transformed(padded: tf.Tensor, grid: "_Grid", first: tf.Tensor) -> tf.Tensor:
    """Return the transformed 6×6 tiles of a strip: [36, tiles, C]."""
    return tf.reshape(tf.matmul(INPUT, grid.tiles(padded, first, SIDE)), (SIDE * SIDE, -1, padded.shape[3]))


class _Grid:
    """Division of maps [B, H, W, …] into tiles of 4×4 pixels, and of rows of tiles into strips computed at once.

    Sizes are ints where they are static, else tensors. Strips have the same number of rows; the last one may have rows
    beyond the last image.
    """

    def __init__(self, maps: tf.Tensor) -> None:
        shape = tf.shape(maps)
        self.batch, self.height, self.width = (known or shape[axis] for axis, known in enumerate(maps.shape[:3]))
        self.rows, self.columns = -(-self.height // STEP), -(-self.width // STEP)
        self.all_rows = self.batch * self.rows
        self.strips = -(-self.all_rows // -(-TILES_AT_ONCE // self.columns))
        self.rows_at_once = -(-self.all_rows // self.strips)
        self.is_single_strip = isinstance(self.strips, int) and self.strips == 1

    def padded(self, maps: tf.Tensor, border: int) -> tf.Tensor:
        """Return the maps [B, H, W, C] with a border of zeros, padded to whole tiles: [B, H', W', C]."""
        below, right = STEP * self.rows - self.height + border, STEP * self.columns - self.width + border
        return tf.pad(maps, ((0, 0), (border, below), (border, right), (0, 0)))

    def tiles(self, padded: tf.Tensor, first: tf.Tensor, side: int, counted_once: bool = False) -> tf.Tensor:
        """Return tiles of `side` pixels at a distance of 4 pixels, of the strip that starts at row of tiles `first`.

        Returns [side², tiles · C]. Rows beyond the last one repeat it, or are zeros with `counted_once`.
        """
        channels = padded.shape[3]
        tall, wide = STEP * self.rows + side - STEP, STEP * self.columns + side - STEP
        row = first + tf.range(self.rows_at_once)
        inside = tf.minimum(row, self.all_rows - 1)
        top = inside // self.rows * tall + inside % self.rows * STEP
        y = tf.range(side)[:, None, None, None] + top[:, None]
        x = tf.range(side)[:, None, None] + STEP * tf.range(self.columns)
        gathered = tf.gather(tf.reshape(padded, (-1, channels)), y * wide + x)  # [side, side, rows, columns, C]
        if counted_once and not self.is_single_strip:
            gathered *= tf.cast(row < self.all_rows, gathered.dtype)[:, None, None]
        return tf.reshape(gathered, (side * side, -1))

    def lines(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return the pixels [16 · tiles, K] of a strip in lines: [4 · rows, 4 · columns, K]."""
        y, x = tf.range(STEP * self.rows_at_once)[:, None], tf.range(STEP * self.columns)
        place = y % STEP * STEP + x % STEP
        tile = y // STEP * self.columns + x // STEP
        return tf.gather(pixels, place * (self.rows_at_once * self.columns) + tile)

    def cropped(self, lines: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """Return the lines of all strips [strips, 4 · rows, 4 · columns, K] as maps [B, H, W, K], shaped as `like`."""
        filters = lines.shape[3]
        lines = tf.reshape(lines, (-1, STEP * self.columns, filters))[: STEP * self.all_rows]
        maps = tf.reshape(lines, (self.batch, STEP * self.rows, STEP * self.columns, filters))
        return tf.ensure_shape(maps[:, : self.height, : self.width], (*like.shape[:3], filters))


def _stacked(grid: _Grid, strip: Callable[[tf.Tensor], tf.Tensor], channels: int) -> tf.Tensor:
    """Return the lines of all strips, computed one after the other: [strips, lines, columns, channels]."""
    if grid.is_single_strip:
        return strip(tf.constant(0))[None]
    lines = tf.TensorArray(tf.float32, grid.strips, element_shape=(None, None, channels))
    _, lines = tf.while_loop(
        lambda number, _: number < grid.strips,
        lambda number, so_far: (number + 1, so_far.write(number, strip(number * grid.rows_at_once))),
        (0, lines),
        parallel_iterations=1,
    )
    return lines.stack()


def _summed(grid: _Grid, strip: Callable[[tf.Tensor], tf.Tensor], shape: tuple[int, ...]) -> tf.Tensor:
    """Return the sum over all strips of what `strip` returns, of `shape`."""
    if grid.is_single_strip:
        return strip(tf.constant(0))
    _, total = tf.while_loop(
        lambda number, _: number < grid.strips,
        lambda number, so_far: (number + 1, so_far + strip(number * grid.rows_at_once)),
        (0, tf.zeros(shape)),
        parallel_iterations=1,
    )
    return total
