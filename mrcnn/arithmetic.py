"""How convolutions and products of matrices are computed on the processor at hand: in which dtype, by which algorithm.

What is convolved is said in layers and heads; the fast algorithm is winograd.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import tensorflow as tf

from mrcnn import winograd

WIDE = 256
"""Channels, in and out, from which on minimal filtering is the faster: 1.5 to 3 times (2 cores, AVX-512)."""
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


def convolution(features: tf.Tensor, kernel: tf.Tensor, stride: int = 1, padding: str = "SAME") -> tf.Tensor:
    """Convolve features [B, H, W, C] with a kernel [h, w, C, K] float32: [B, H', W', K] in the features' dtype."""
    dtype = multiplied_in(features.dtype)
    suits = dtype == tf.float32 and stride == 1 and padding == "SAME" and _is_wide(kernel.shape)
    if _plain.get() or not on_a_cpu() or (dtype == features.dtype and not suits):
        return tf.nn.conv2d(features, tf.cast(kernel, features.dtype), stride, padding)
    filtered = _is_large(features) if suits else False
    return _convolved(features, kernel, filtered, {"strides": [1, stride, stride, 1], "padding": padding})


def product(rows: tf.Tensor, matrix: tf.Tensor, transpose_b: bool = False) -> tf.Tensor:
    """Rows [..., N, C] times a matrix [..., C, K] of any dtype (transposed: [..., K, C]), in the rows' dtype."""
    dtype = multiplied_in(rows.dtype)
    return tf.cast(tf.matmul(tf.cast(rows, dtype), tf.cast(matrix, dtype), transpose_b=transpose_b), rows.dtype)


def multiplied_in(dtype: tf.DType) -> tf.DType:
    """The dtype in which values of `dtype` are multiplied: float32 where the processor's 16 bits are the slower ones.

    oneDNN has no fast gradients in float16 on any CPU; of bfloat16 see `has_fast_bfloat16`. In memory, features stay in
    16 bits all the same.
    """
    if _plain.get() or not on_a_cpu():
        return dtype
    slow = dtype == tf.float16 or (dtype == tf.bfloat16 and not has_fast_bfloat16())
    return tf.float32 if slow else dtype


@functools.cache
def on_a_cpu() -> bool:
    """Whether TensorFlow has no GPU to compute on."""
    return not tf.config.list_physical_devices("GPU")


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether products in bfloat16 are faster than in float32, by what Linux says of the processor."""
    facts = Path("/proc/cpuinfo")
    return not facts.exists() or is_fast_in_bfloat16(facts.read_text())


def is_fast_in_bfloat16(cpuinfo: str) -> bool:
    """As `has_fast_bfloat16`, of the text of /proc/cpuinfo.

    Intel's avx512_bf16 alone is slower than its float32 instructions (on a Xeon whose AMX is hidden, oneDNN's
    convolutions took 1.75 times as long, matrix products twice); AMX, and AMD's avx512_bf16, are faster.
    """
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "GenuineIntel" not in cpuinfo)


def _is_wide(shape: tf.TensorShape) -> bool:
    return tuple(shape[:2]) == (3, 3) and min(shape[2:]) >= WIDE


def _is_large(features: tf.Tensor) -> tf.Tensor | bool:
    """Whether there are pixels enough for minimal filtering: known now, or found for each batch."""
    known = features.shape[:3].num_elements()
    return tf.size(features) // features.shape[3] >= LARGE if known is None else known >= LARGE


def _convolved(features: tf.Tensor, kernel: tf.Tensor, filtered: tf.Tensor | bool, window: dict[str, Any]) -> tf.Tensor:
    """Convolve in float32, by minimal filtering or by oneDNN; of the features, only their own dtype waits in memory."""

    @tf.custom_gradient
    def convolved(features: tf.Tensor, kernel: tf.Tensor):
        def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
            # Without this, TensorFlow would find that what the gradient computes of the features was computed before,
            # and would keep that, several times as large, instead of the features.
            inputs = tf.cast(winograd.after(upstream, features), tf.float32)
            gradients = _gradients(inputs, kernel, tf.cast(upstream, tf.float32), filtered, window)
            return [tf.cast(gradients[0], features.dtype), gradients[1]]

        inputs = tf.cast(features, tf.float32)
        result = _either(
            filtered,
            lambda: winograd.convolve_3x3(inputs, kernel),
            lambda: tf.raw_ops.Conv2D(input=inputs, filter=kernel, **window),
        )
        return tf.cast(result, features.dtype), gradient

    return convolved(features, kernel)


def _gradients(
    features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, filtered: tf.Tensor | bool, window: dict[str, Any]
) -> list[tf.Tensor]:
    """Gradients of the features [B, H, W, C] and of the kernel."""
    return _either(
        filtered,
        lambda: winograd.gradients(features, kernel, upstream),
        lambda: _gradients_by_definition(features, kernel, upstream, window),
    )


def _gradients_by_definition(
    features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, window: dict[str, Any]
) -> list[tf.Tensor]:
    """As `winograd.gradients`, and in the same order, by oneDNN."""
    of_kernel = tf.raw_ops.Conv2DBackpropFilter(
        input=features, filter_sizes=tf.shape(kernel), out_backprop=upstream, **window
    )
    upstream = winograd.after(of_kernel, upstream)
    of_features = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(features), filter=kernel, out_backprop=upstream, **window
    )
    return [of_features, of_kernel]


def _either(condition: tf.Tensor | bool, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)
