"""What the processor at hand is good at, as far as the network computes differently for it.

What is computed how is said in arithmetic and layers.
"""

import functools
from pathlib import Path

import tensorflow as tf


def is_faster_in(precision: str) -> bool:
    """Whether convolutions in `precision` (bfloat16 or float16) are faster here than those in float32.

    On a GPU they are. On CPUs, oneDNN has no fast gradients in float16; of bfloat16 see `is_fast_in_bfloat16`.
    """
    return not on_a_cpu() or (precision == "bfloat16" and is_fast_in_bfloat16(cpuinfo()))


@functools.cache
def on_a_cpu() -> bool:
    """Whether TensorFlow has no GPU to compute on."""
    return not tf.config.get_visible_devices("GPU")


@functools.cache
def cpuinfo() -> str:
    """Text of Linux' /proc/cpuinfo; empty elsewhere."""
    facts = Path("/proc/cpuinfo")
    return facts.read_text() if facts.exists() else ""


def is_fast_in_bfloat16(facts: str) -> bool:
    """Whether a processor multiplies faster in bfloat16 than in float32, by its `cpuinfo`.

    Intel's avx512_bf16 alone is slower than its float32 instructions (on a Xeon whose AMX is hidden, oneDNN's
    convolutions took 1.75 times as long, matrix products twice); AMX, and AMD's avx512_bf16, are faster.
    """
    flags = _flags(facts)
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "GenuineIntel" not in facts)


def lacks_avx512(facts: str) -> bool:
    """Whether a processor is an x86 without AVX-512, for which oneDNN has fewer fast convolutions, by its `cpuinfo`."""
    flags = _flags(facts)
    return bool(flags) and "avx512f" not in flags


def _flags(facts: str) -> list[str]:
    return next((line for line in facts.splitlines() if line.startswith("flags")), "").split()
