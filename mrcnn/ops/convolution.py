"""How convolutions are computed on the processor at hand: by which algorithm, and what stays apart from them.

What is convolved is said in layers and heads; the fast algorithm is winograd, what suits the processor in processor.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mrcnn.ops import winograd
from mrcnn.ops.gradient_order import after
from mrcnn.ops.processor import cpuinfo, lacks_avx512, on_a_cpu

WIDE = 64 if lacks_avx512(cpuinfo()) else 256
"""Channels, in and out, from which on minimal filtering is the faster: 1.5 to 4 times (2 cores)."""
LARGE = 512
"""Pixels of all images from which on it is faster: below, transforming the kernel takes too large a share."""

_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_operations() -> Iterator[None]:
    """Let what is traced meanwhile hold each convolution as one operation, as graphs for other runtimes should."""
    before = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(before)


def for_this_gpu() -> bool:
    """Whether what is traced now is to run on a GPU of this machine: not what is exported, and not without one."""
    return not on_a_cpu() and not _plain.get()


def convolution(
    features: tf.Tensor, kernel: tf.Tensor, scale: tf.Tensor | None = None, stride: int = 1, padding: str = "SAME"
) -> tf.Tensor:
    """Convolve features [B, H, W, C] with a kernel [h, w, C, K], times `scale` [K] if given: [B, H', W', K].

    Kernel and scale are float32, the convolution is done in the features' dtype. For the gradients the scaled kernel is
    computed again: kept from the forward pass, those of a ResNet-101 would take 240 MB when memory is scarcest.
    """
    if stride > 1 and tuple(kernel.shape[:2]) == (1, 1):
        # The same, and oneDNN's gradient of such a kernel writes beyond its memory where C is small (TensorFlow 2.21).
        # "Means" of one pixel, since slices with steps take ten times as long.
        features, stride = tf.nn.avg_pool2d(features, 1, stride, "VALID"), 1
    return _with_gradient(_Way(stride, padding.upper()))(features, kernel, *(() if scale is None else (scale,)))


Pointwise = tuple[Callable[[tf.Tensor], tf.Tensor], int]
"""What turns pixels [N, K] into [N, K'], and K'."""


def pointwise_of_still(features: tf.Tensor, kernel: tf.Tensor, pointwise: Pointwise) -> tf.Tensor:
    """What `pointwise` makes of a convolution with stride 1 and padding "same", if possible without holding that whole.

    It is for features [B, H, W, C] that nothing is learned by: the gradients are TensorFlow's own, which are slow.
    Returns [B, H, W, K'].
    """
    way, kernel = _Way(1, "SAME"), tf.cast(kernel, features.dtype)
    return _either(
        way.is_filtered(features, kernel),
        lambda: winograd.convolve_3x3(features, kernel, pointwise),
        lambda: by_pixel(tf.nn.conv2d(features, kernel, way.stride, way.padding), pointwise),
    )


def by_pixel(features: tf.Tensor, pointwise: Pointwise) -> tf.Tensor:
    """What `pointwise` makes of features [B, H, W, K]: [B, H, W, K']."""
    finish, channels = pointwise
    pixels = finish(tf.reshape(features, (-1, features.shape[3])))
    shape = tf.shape(features)
    whole = tf.reshape(pixels, tf.concat([shape[:3], [channels]], axis=0))
    return tf.ensure_shape(whole, (*features.shape[:3], channels))


def added(features: tf.Tensor, shortcut: tf.Tensor) -> tf.Tensor:
    """The sum of two tensors [B, H, W, C], kept apart from the convolution before it where that is faster.

    TensorFlow would make one operation of a 1×1 convolution, this sum and a ReLU, which without AVX-512 takes oneDNN
    (3.7) 3 to 7 times as long as the convolution does. It does not see a sum of another shape.
    """
    if not _kept_apart():
        return features + shortcut
    channels = features.shape[3]
    total = tf.reshape(features, (-1, channels)) + tf.reshape(shortcut, (-1, channels))
    return tf.ensure_shape(tf.reshape(total, tf.shape(features)), features.shape)


def biased(features: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Features [B, H, W, C] with a bias [C] added, its gradient kept apart from the kernel's where that is faster.

    TensorFlow would make one operation of the two gradients, which without AVX-512 takes oneDNN up to 4 times as long.
    It does not see a sum that is a product of matrices. On a GPU, TensorFlow's own gradient of a bias in bfloat16 took
    half of a step's time (39 of 70 ms of an H200).
    """
    return _with_gradient_apart(features, bias) if _kept_apart() or for_this_gpu() else tf.nn.bias_add(features, bias)


@tf.custom_gradient
def _with_gradient_apart(features: tf.Tensor, bias: tf.Tensor):
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(upstream, (-1, upstream.shape[3]))
        of_bias = tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)[0]
        return after(of_bias, upstream), of_bias  # or the upstream would be kept until there is time for the bias

    return tf.nn.bias_add(features, bias), gradient


def _kept_apart() -> bool:
    return not _plain.get() and on_a_cpu() and lacks_avx512(cpuinfo())


def _is_wide(shape: tf.TensorShape) -> bool:
    return tuple(shape[:2]) == (3, 3) and min(shape[2:]) >= WIDE


def _is_large(features: tf.Tensor) -> tf.Tensor | bool:
    """Whether [B, H, W, C] has pixels enough for minimal filtering: known now, or found for each batch."""
    known = features.shape[:3].num_elements()
    return tf.size(features) // features.shape[3] >= LARGE if known is None else known >= LARGE


@dataclass(frozen=True)
class _Way:
    """How features and a kernel of one dtype are convolved, and the gradients of that."""

    stride: int
    padding: str

    def convolve(self, features: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self._is_product(features, kernel):
            return tf.matmul(*_as_matrices(features, kernel))[:, None, None]
        return _either(
            self.is_filtered(features, kernel),
            lambda: winograd.convolve_3x3(features, kernel),
            lambda: tf.nn.conv2d(features, kernel, self.stride, self.padding),
        )

    def kernel_gradient(self, features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """Gradient [h, w, C, K], from that of the result; of the kernel only the shape is used."""
        if self._is_product(features, kernel):
            rows, _ = _as_matrices(features, kernel)
            return tf.reshape(tf.matmul(rows, upstream[:, 0, 0], transpose_a=True), kernel.shape)
        return _either(
            self.is_filtered(features, kernel),
            lambda: winograd.kernel_gradient(features, upstream),
            lambda: tf.raw_ops.Conv2DBackpropFilter(
                input=features, filter_sizes=tf.shape(kernel), out_backprop=upstream, **self._window
            ),
        )

    def features_gradient(self, features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """Gradient [B, H, W, C], from that of the result; of the features only the shape is used."""
        if self._is_product(features, kernel):
            _, columns = _as_matrices(features, kernel)
            return tf.reshape(tf.matmul(upstream[:, 0, 0], columns, transpose_b=True), tf.shape(features))
        return _either(
            self.is_filtered(features, kernel),
            lambda: winograd.features_gradient(kernel, upstream),
            lambda: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(features), filter=kernel, out_backprop=upstream, **self._window
            ),
        )

    def is_by_definition(self, features: tf.Tensor, kernel: tf.Tensor) -> bool:
        """Whether neither as a product of matrices nor, perhaps, by minimal filtering."""
        return not self._is_product(features, kernel) and self.is_filtered(features, kernel) is False

    @property
    def _window(self) -> dict[str, Any]:
        return {"strides": [1, self.stride, self.stride, 1], "padding": self.padding}

    def _is_product(self, features: tf.Tensor, kernel: tf.Tensor) -> bool:
        """Whether the kernel covers all of the features: the gradient of a product of matrices is ten times faster."""
        return self.padding == "VALID" and features.shape[1:3] == kernel.shape[:2]

    def is_filtered(self, features: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor | bool:
        """Whether features [B, H, W, C] meet a kernel [h, w, C, K] by minimal filtering.

        A bool where that is known now, else a bool tensor [] that says it for each batch.
        """
        suits = features.dtype == tf.float32 and self.stride == 1 and self.padding == "SAME" and _is_wide(kernel.shape)
        return suits and on_a_cpu() and not _plain.get() and _is_large(features)


def _with_gradient(way: _Way) -> Callable[..., tf.Tensor]:
    @tf.custom_gradient
    def convolved(features: tf.Tensor, kernel: tf.Tensor, *scales: tf.Tensor):
        def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
            # Without `after`, TensorFlow would find that what is computed of features and kernel was computed in the
            # forward pass, and would keep that, several times as large, instead.
            inputs = after(upstream, features)
            of_kernel = tf.cast(way.kernel_gradient(inputs, kernel, upstream), kernel.dtype)
            of_scales = [tf.reduce_sum(of_kernel * kernel, axis=(0, 1, 2)) for _ in scales]
            if scales:
                of_kernel = after(of_scales[0], of_kernel) * scales[0]  # in its place
            # What takes much memory is done one after the other; otherwise TensorFlow would hurry on to the layers
            # before, while the features and gradients of many would wait for their kernels.
            first = upstream if way.is_by_definition(features, kernel) else of_kernel
            again = _product(after(first, kernel), scales, features.dtype)
            of_features = way.features_gradient(inputs, again, after(first, upstream))
            return [of_features, of_kernel, *of_scales]

        return way.convolve(features, _product(kernel, scales, features.dtype)), gradient

    return convolved


def _product(kernel: tf.Tensor, scales: tuple[tf.Tensor, ...], dtype: tf.DType) -> tf.Tensor:
    return tf.cast(kernel * scales[0] if scales else kernel, dtype)


def _as_matrices(features: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A row for each window of the features, [B, h·w·C], and a column for each filter, [h·w·C, K]."""
    terms = kernel.shape[:3].num_elements()
    return tf.reshape(features, (-1, terms)), tf.reshape(kernel, (terms, -1))


def _either(condition: tf.Tensor | bool, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)
