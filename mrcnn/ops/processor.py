"""Properties of this machine's processor on which the choice of algorithm and precision depends."""

import functools
from pathlib import Path

import tensorflow as tf


def is_faster_in(precision: str) -> bool:
    """Return whether convolutions in `precision` (bfloat16 or float16) are faster on this machine than in float32.

    On a GPU they are. On CPUs, oneDNN has no fast gradients in float16; for bfloat16 see `is_fast_in_bfloat16`.
    """
    return not runs_on_cpu() or (precision == "bfloat16" and is_fast_in_bfloat16(cpuinfo()))


@functools.cache
def runs_on_cpu() -> bool:
    """Return whether TensorFlow sees no GPU."""
    return not tf.config.get_visible_devices("GPU")


@functools.cache
def cpuinfo() -> str:
    """Return the text of Linux' /proc/cpuinfo; an empty string on other systems."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def is_fast_in_bfloat16(cpuinfo_text: str) -> bool:
    """Return whether a processor with this `cpuinfo` multiplies faster in bfloat16 than in float32.

    Intel's avx512_bf16 alone is slower than its float32 instructions (on a Xeon whose AMX is hidden, oneDNN's
    convolutions took 1.75 times as long, matrix products twice); AMX, and AMD's avx512_bf16, are faster.
    """
    flags = _flags(cpuinfo_text)
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "GenuineIntel" not in cpuinfo_text)


def lacks_avx512(cpuinfo_text: str) -> bool:
    """Return whether a processor with this `cpuinfo` is an x86 without AVX-512: oneDNN has fewer fast kernels there."""
    flags = _flags(cpuinfo_text)
    return bool(flags) and "avx512f" not in flags


def _flags(cpuinfo_text: str) -> list[str]:
    return next((line for line in cpuinfo_text.splitlines() if line.startswith("flags")), "").split()
