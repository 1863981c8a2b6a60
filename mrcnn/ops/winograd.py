"""3×3 convolution by minimal filtering: 36 multiplications where the definition takes 144.

F(4×4, 3×3) of Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks", by ordinary operations: tiles are
gathered, transformed, multiplied, transformed back. Which convolutions are done so is said in arithmetic.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mrcnn.ops.gradient_order import after

STEP, SIDE = 4, 6
"""Pixels from tile to tile, and of a tile with what the kernel sees around it."""
TILES_AT_ONCE = 1024
"""About so many, for which what stands between input and output takes some 100 MB at 256 channels."""

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
    """Convolve with stride 1 and padding "same", and if given, make something `pointwise` of the result.

    Its rounding errors are about ten times those of the definition: 1e-5 of the largest value. The fast gradients are
    `features_gradient` and `kernel_gradient`: TensorFlow's own go back through each gathering.

    Args:
        features: [B, H, W, C] float32.
        kernel: [3, 3, C, K] float32.
        pointwise: what turns pixels [N, K] into [N, K'], and K'. It is done strip by strip, so that the convolution is
            never held whole.

    Returns:
        [B, H, W, K] float32, or K' with `pointwise`.
    """
    inputs, filters = kernel.shape[2], kernel.shape[3]
    finish, channels = pointwise or (tf.identity, filters)
    kernel = after(features, kernel)
    spectra = tf.reshape(tf.matmul(KERNEL, tf.reshape(kernel, (9, inputs * filters))), (-1, inputs, filters))
    grid = _Grid(features)
    padded = grid.padded(features, 1)

    def strip(first: tf.Tensor) -> tf.Tensor:
        products = tf.matmul(_transformed(padded, grid, first), spectra)
        pixels = tf.reshape(tf.matmul(OUTPUT, tf.reshape(products, (SIDE * SIDE, -1))), (-1, filters))
        return grid.lines(finish(pixels))

    return grid.cropped(_stacked(grid, strip, channels), features)


def features_gradient(kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Gradient [B, H, W, C] of `convolve_3x3`'s features, from that of its result [B, H, W, K]."""
    turned = tf.reverse(after(upstream, kernel), (0, 1))
    return convolve_3x3(upstream, tf.transpose(turned, (0, 1, 3, 2)))


def kernel_gradient(features: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Gradient [3, 3, C, K] of `convolve_3x3`'s kernel, from that of its result [B, H, W, K]."""
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
    """The 6×6 tiles of a strip, transformed: [36, tiles, C]."""
    return tf.reshape(tf.matmul(INPUT, grid.tiles(padded, first, SIDE)), (SIDE * SIDE, -1, padded.shape[3]))


class _Grid:
    """How maps [B, H, W, …] fall into tiles of 4×4 pixels, and rows of tiles into strips that are computed at once.

    Sizes are numbers where they are known, tensors where not. Strips are as even as can be; the last may have less to
    do than rows.
    """

    def __init__(self, maps: tf.Tensor) -> None:
        shape = tf.shape(maps)
        self.batch, self.height, self.width = (known or shape[axis] for axis, known in enumerate(maps.shape[:3]))
        self.rows, self.columns = -(-self.height // STEP), -(-self.width // STEP)
        self.all_rows = self.batch * self.rows
        self.strips = -(-self.all_rows // -(-TILES_AT_ONCE // self.columns))
        self.rows_at_once = -(-self.all_rows // self.strips)
        self.is_one_strip = isinstance(self.strips, int) and self.strips == 1

    def padded(self, maps: tf.Tensor, border: int) -> tf.Tensor:
        """The maps [B, H, W, C] with a border of zeros, continued by zeros to whole tiles: [B, H', W', C]."""
        below, right = STEP * self.rows - self.height + border, STEP * self.columns - self.width + border
        return tf.pad(maps, ((0, 0), (border, below), (border, right), (0, 0)))

    def tiles(self, padded: tf.Tensor, first: tf.Tensor, side: int, counted_once: bool = False) -> tf.Tensor:
        """Tiles of `side` pixels that start every 4, of the strip whose first row of tiles is `first`.

        Returns [side², tiles · C]. Rows of tiles after the last repeat it, or are zeros where they must be
        `counted_once`.
        """
        channels = padded.shape[3]
        tall, wide = STEP * self.rows + side - STEP, STEP * self.columns + side - STEP
        row = first + tf.range(self.rows_at_once)
        inside = tf.minimum(row, self.all_rows - 1)
        top = inside // self.rows * tall + inside % self.rows * STEP
        y = tf.range(side)[:, None, None, None] + top[:, None]
        x = tf.range(side)[:, None, None] + STEP * tf.range(self.columns)
        gathered = tf.gather(tf.reshape(padded, (-1, channels)), y * wide + x)  # [side, side, rows, columns, C]
        if counted_once and not self.is_one_strip:
            gathered *= tf.cast(row < self.all_rows, gathered.dtype)[:, None, None]
        return tf.reshape(gathered, (side * side, -1))

    def lines(self, pixels: tf.Tensor) -> tf.Tensor:
        """The pixels [16 · tiles, K] of a strip line by line: [4 · rows, 4 · columns, K]."""
        y, x = tf.range(STEP * self.rows_at_once)[:, None], tf.range(STEP * self.columns)
        place = y % STEP * STEP + x % STEP
        tile = y // STEP * self.columns + x // STEP
        return tf.gather(pixels, place * (self.rows_at_once * self.columns) + tile)

    def cropped(self, lines: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """The strips' lines [strips, 4 · rows, 4 · columns, K] as maps [B, H, W, K]; `like` has B, H, W."""
        filters = lines.shape[3]
        lines = tf.reshape(lines, (-1, STEP * self.columns, filters))[: STEP * self.all_rows]
        maps = tf.reshape(lines, (self.batch, STEP * self.rows, STEP * self.columns, filters))
        return tf.ensure_shape(maps[:, : self.height, : self.width], (*like.shape[:3], filters))


def _stacked(grid: _Grid, strip: Callable[[tf.Tensor], tf.Tensor], channels: int) -> tf.Tensor:
    """The lines of all strips, [strips, lines, columns, channels], computed one after the other."""
    if grid.is_one_strip:
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
    """The sum of what all strips give, each of `shape`."""
    if grid.is_one_strip:
        return strip(tf.constant(0))
    _, total = tf.while_loop(
        lambda number, _: number < grid.strips,
        lambda number, so_far: (number + 1, so_far + strip(number * grid.rows_at_once)),
        (0, tf.zeros(shape)),
        parallel_iterations=1,
    )
    return total
