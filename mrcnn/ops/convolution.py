"""Convolutions with the algorithm that is fastest on this processor, and without slow operator fusions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mrcnn.ops import winograd
from mrcnn.ops.gradients import identity_after
from mrcnn.ops.processor import cpuinfo, lacks_avx512, runs_on_cpu

WINOGRAD_CHANNELS = 64 if lacks_avx512(cpuinfo()) else 256
"""Least number of input and output channels for which Winograd convolution is faster: 1.5 to 4 times (2 cores)."""
WINOGRAD_PIXELS = 512
"""Least number of pixels of a batch for which it is faster; with fewer, transforming the kernel dominates."""

_portable: ContextVar[bool] = ContextVar("portable", default=False)


@contextmanager
def portable_operations() -> Iterator[None]:
    """Trace each convolution as one operation within this context, for graphs that other runtimes execute."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def targets_gpu() -> bool:
    """Return whether the graph that is being traced will run on a GPU of this machine (False while exporting)."""
    return not runs_on_cpu() and not _portable.get()


def convolution(
    features: tf.Tensor, kernel: tf.Tensor, scale: tf.Tensor | None = None, stride: int = 1, padding: str = "SAME"
) -> tf.Tensor:
    """Convolve features [B, H, W, C] with a kernel [h, w, C, K], multiplied by `scale` [K] if given: [B, H', W', K].

    Kernel and scale are float32; the convolution is computed in the dtype of the features. The backward pass computes
    the scaled kernels again: those of a ResNet-101, kept from the forward pass, would add 240 MB to the peak of memory.
    """
    if stride > 1 and tuple(kernel.shape[:2]) == (1, 1):
        # oneDNN's gradient of a strided 1×1 kernel writes beyond its memory where C is small (TensorFlow 2.21).
        # Pooling over one pixel selects the same pixels ten times faster than a strided slice.
        features, stride = tf.nn.avg_pool2d(features, 1, stride, "VALID"), 1
    return _differentiable(_Convolution(stride, padding.upper()))(
        features, kernel, *(() if scale is None else (scale,))
    )


Pointwise = tuple[Callable[[tf.Tensor], tf.Tensor], int]
"""A function from pixels [N, K] to [N, K'], and K'."""


def convolution_then_pointwise(features: tf.Tensor, kernel: tf.Tensor, pointwise: Pointwise) -> tf.Tensor:
    """Apply `pointwise` to a convolution with stride 1 and padding "same", in strips where Winograd is used.

    For features [B, H, W, C] without gradient: those of TensorFlow are slow here. Returns [B, H, W, K'].
    """
    method, kernel = _Convolution(1, "SAME"), tf.cast(kernel, features.dtype)
    return _cond(
        method.uses_winograd(features, kernel),
        lambda: winograd.convolve_3x3(features, kernel, pointwise),
        lambda: apply_pointwise(tf.nn.conv2d(features, kernel, method.stride, method.padding), pointwise),
    )


def apply_pointwise(features: tf.Tensor, pointwise: Pointwise) -> tf.Tensor:
    """Apply `pointwise` to features [B, H, W, K]: [B, H, W, K']."""
    function, channels = pointwise
    pixels = function(tf.reshape(features, (-1, features.shape[3])))
    shape = tf.shape(features)
    whole = tf.reshape(pixels, tf.concat([shape[:3], [channels]], axis=0))
    return tf.ensure_shape(whole, (*features.shape[:3], channels))


def add_shortcut(features: tf.Tensor, shortcut: tf.Tensor) -> tf.Tensor:
    """Return the sum of two tensors [B, H, W, C], not fused with the preceding convolution where that is faster.

    TensorFlow fuses a 1×1 convolution, this sum and a ReLU into one operation, which without AVX-512 takes oneDNN (3.7)
    3 to 7 times as long as the convolution. It does not fuse a sum of reshaped tensors.
    """
    if not _avoids_fusion():
        return features + shortcut
    channels = features.shape[3]
    total = tf.reshape(features, (-1, channels)) + tf.reshape(shortcut, (-1, channels))
    return tf.ensure_shape(tf.reshape(total, tf.shape(features)), features.shape)


def add_bias(features: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Add a bias [C] to features [B, H, W, C]; its gradient is not fused with the kernel's where that is faster.

    TensorFlow fuses the two gradients into one operation, which without AVX-512 takes oneDNN up to 4 times as long. It
    does not fuse a sum that is computed as a matrix product. On a GPU, TensorFlow's own gradient of a bias in bfloat16
    took half of a step's time (39 of 70 ms on an H200).
    """
    return _bias_add(features, bias) if _avoids_fusion() or targets_gpu() else tf.nn.bias_add(features, bias)


@tf.custom_gradient
def _bias_add(features: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(upstream, (-1, upstream.shape[3]))
        of_bias = tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)[0]
        return identity_after(of_bias, upstream), of_bias  # or TensorFlow may keep `upstream` for long

    return tf.nn.bias_add(features, bias), gradient


def _avoids_fusion() -> bool:
    return not _portable.get() and runs_on_cpu() and lacks_avx512(cpuinfo())


def _has_many_pixels(features: tf.Tensor) -> tf.Tensor | bool:
    """Return whether [B, H, W, C] has WINOGRAD_PIXELS: a bool for static shapes, else a bool tensor []."""
    known = features.shape[:3].num_elements()
    return tf.size(features) // features.shape[3] >= WINOGRAD_PIXELS if known is None else known >= WINOGRAD_PIXELS


@dataclass(frozen=True)
class _Convolution:
    """A convolution of features with a kernel of the same dtype, and its gradients."""

    stride: int
    padding: str

    def convolve(self, features: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self._is_matrix_product(features, kernel):
            return tf.matmul(*_as_matrices(features, kernel))[:, None, None]
        return _cond(
            self.uses_winograd(features, kernel),
            lambda: winograd.convolve_3x3(features, kernel),
            lambda: tf.nn.conv2d(features, kernel, self.stride, self.padding),
        )

    def kernel_gradient(self, features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """Return the gradient [h, w, C, K] with respect to the kernel, of which only the shape is used."""
        if self._is_matrix_product(features, kernel):
            rows, _ = _as_matrices(features, kernel)
            return tf.reshape(tf.matmul(rows, upstream[:, 0, 0], transpose_a=True), kernel.shape)
        return _cond(
            self.uses_winograd(features, kernel),
            lambda: winograd.kernel_gradient(features, upstream),
            lambda: tf.raw_ops.Conv2DBackpropFilter(
                input=features, filter_sizes=tf.shape(kernel), out_backprop=upstream, **self._window
            ),
        )

    def features_gradient(self, features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """Return the gradient [B, H, W, C] with respect to the features, of which only the shape is used."""
        if self._is_matrix_product(features, kernel):
            _, columns = _as_matrices(features, kernel)
            return tf.reshape(tf.matmul(upstream[:, 0, 0], columns, transpose_b=True), tf.shape(features))
        return _cond(
            self.uses_winograd(features, kernel),
            lambda: winograd.features_gradient(kernel, upstream),
            lambda: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(features), filter=kernel, out_backprop=upstream, **self._window
            ),
        )

    def is_direct(self, features: tf.Tensor, kernel: tf.Tensor) -> bool:
        """Return whether TensorFlow's own convolution is used in any case."""
        return not self._is_matrix_product(features, kernel) and self.uses_winograd(features, kernel) is False

    @property
    def _window(self) -> dict[str, Any]:
        return {"strides": [1, self.stride, self.stride, 1], "padding": self.padding}

    def _is_matrix_product(self, features: tf.Tensor, kernel: tf.Tensor) -> bool:
        """Return whether the kernel covers the whole map: the gradient of a matrix product is ten times faster."""
        return self.padding == "VALID" and features.shape[1:3] == kernel.shape[:2]

    def uses_winograd(self, features: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor | bool:
        """Return whether features [B, H, W, C] and a kernel [h, w, C, K] are convolved by Winograd's algorithm.

        A bool where it is known from the static shapes, else a bool tensor [].
        """
        is_supported = features.dtype == tf.float32 and self.stride == 1 and self.padding == "SAME"
        is_wide = tuple(kernel.shape[:2]) == (3, 3) and min(kernel.shape[2:]) >= WINOGRAD_CHANNELS
        return is_supported and is_wide and runs_on_cpu() and not _portable.get() and _has_many_pixels(features)


def _differentiable(method: _Convolution) -> Callable[..., tf.Tensor]:
    @tf.custom_gradient
    def convolved(features: tf.Tensor, kernel: tf.Tensor, *scales: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
            # Without `identity_after`, TensorFlow would reuse what the forward pass computed from features and kernel,
            # and would keep it, several times as large as they are, until here.
            inputs = identity_after(upstream, features)
            of_kernel = tf.cast(method.kernel_gradient(inputs, kernel, upstream), kernel.dtype)
            of_scales = [tf.reduce_sum(of_kernel * kernel, axis=(0, 1, 2)) for _ in scales]
            if scales:
                of_kernel = identity_after(of_scales[0], of_kernel) * scales[0]
            # The two gradients are computed one after the other; otherwise TensorFlow would go on to earlier layers
            # while the features and gradients of many layers wait for the gradients of their kernels.
            first = upstream if method.is_direct(features, kernel) else of_kernel
            again = _scaled_kernel(identity_after(first, kernel), scales, features.dtype)
            of_features = method.features_gradient(inputs, again, identity_after(first, upstream))
            return [of_features, of_kernel, *of_scales]

        return method.convolve(features, _scaled_kernel(kernel, scales, features.dtype)), gradient

    return convolved


def _scaled_kernel(kernel: tf.Tensor, scales: tuple[tf.Tensor, ...], dtype: tf.DType) -> tf.Tensor:
    return tf.cast(kernel * scales[0] if scales else kernel, dtype)


def _as_matrices(features: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the features as a matrix [B, h·w·C] and the kernel as a matrix [h·w·C, K]."""
    terms = kernel.shape[:3].num_elements()
    return tf.reshape(features, (-1, terms)), tf.reshape(kernel, (terms, -1))


def _cond(condition: tf.Tensor | bool, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)
