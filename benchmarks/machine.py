"""Which machine a benchmark runs on, in a few words."""

import os
import platform
from pathlib import Path


def described() -> str:
    """Return the processor, the number of cores, and how many processes wanted one in the last minute."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0]
    return f"{models[0] if models else platform.processor()}, {cores} cores, load before: {load:.1f}"
