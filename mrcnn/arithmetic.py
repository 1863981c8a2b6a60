"""How convolutions are computed on the processor at hand: in which precision, by which algorithm.

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
    """Convolve features [B, H, W, C] with a kernel [h, w, C, K] of the same dtype: [B, H', W', K]."""
    suits = features.dtype == tf.float32 and stride == 1 and padding == "SAME" and _is_wide(kernel.shape)
    if suits and on_a_cpu() and not _plain.get():
        return _filtered_where_large(features, kernel)
    return tf.nn.conv2d(features, kernel, stride, padding)


def is_faster_in(precision: str) -> bool:
    """Whether convolutions in `precision` (bfloat16 or float16) are faster here than those in float32.

    On a GPU they are. On CPUs, oneDNN has no fast gradients in float16; of bfloat16 see `is_fast_in_bfloat16`.
    """
    return not on_a_cpu() or (precision == "bfloat16" and _has_fast_bfloat16())


@functools.cache
def on_a_cpu() -> bool:
    """Whether TensorFlow has no GPU to compute on."""
    return not tf.config.get_visible_devices("GPU")


@functools.cache
def _has_fast_bfloat16() -> bool:
    facts = Path("/proc/cpuinfo")
    return facts.exists() and is_fast_in_bfloat16(facts.read_text())


def is_fast_in_bfloat16(cpuinfo: str) -> bool:
    """Whether a processor multiplies faster in bfloat16 than in float32, by the text of Linux' /proc/cpuinfo.

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


@tf.custom_gradient
def _filtered_where_large(features: tf.Tensor, kernel: tf.Tensor):
    """Minimal filtering of large maps, oneDNN's convolution of small ones."""
    large = _is_large(features)

    def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
        # Without `after`, TensorFlow would find that what the gradient computes of the features was computed before,
        # and would keep that, several times as large, instead of the features.
        inputs = winograd.after(upstream, features)
        return _either(
            large,
            lambda: winograd.gradients(inputs, kernel, upstream),
            lambda: _gradients_by_definition(inputs, kernel, upstream),
        )

    convolved = _either(
        large, lambda: winograd.convolve_3x3(features, kernel), lambda: tf.nn.conv2d(features, kernel, 1, "SAME")
    )
    return convolved, gradient


def _gradients_by_definition(features: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
    """As `winograd.gradients`, by oneDNN."""
    window = {"out_backprop": upstream, "strides": [1, 1, 1, 1], "padding": "SAME"}
    return [
        tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(features), filter=kernel, **window),
        tf.raw_ops.Conv2DBackpropFilter(input=features, filter_sizes=tf.shape(kernel), **window),
    ]


def _either(condition: tf.Tensor | bool, if_true: Callable[[], Any], if_false: Callable[[], Any]) -> Any:
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)
