"""Starts TensorFlow without the lines that its C++ side writes to stderr, and says why a GPU is not used."""

import importlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError

GPU_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
"""What the drivers of NVIDIA make on Linux, and on Windows' Linux."""
CHATTER = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |To enable the )"
)
"""Lines of TensorFlow's log, which no environment variable keeps back before it is set up (tensorflow#100442)."""
REASON = re.compile(r"cuda|cudnn|cuinit|dlopen|libnv", re.IGNORECASE)

NO_MEMORY = re.compile(r"out[ _]of[ _]memory|OOM when allocating|failed to allocate", re.IGNORECASE)
"""Of CUDA's, cuDNN's and TensorFlow's other errors."""

log = logging.getLogger(__name__)


def start_tensorflow() -> None:
    """Import TensorFlow and list its GPUs; warn where the machine has one and TensorFlow uses none.

    What it writes meanwhile is passed on, except for lines of its own log. Raises PipelineError where it is absent.
    """
    if sys.modules.get("tensorflow"):
        return
    with _held_back() as lines:
        try:
            tensorflow = importlib.import_module("tensorflow")
        except ModuleNotFoundError as error:
            if error.name != "tensorflow":
                raise
            raise PipelineError("TensorFlow is not installed: pip install 'tensorflow>=2.19,<2.22'") from None
        gpus = tensorflow.config.list_physical_devices("GPU")
    has_gpu = any(Path(file).exists() for file in GPU_FILES)
    if has_gpu and not gpus:
        reasons = [line.partition("] ")[2] or line for line in lines if REASON.search(line)]
        why = reasons[-1] if reasons else "TensorFlow doesn't say why"
        log.warning("this machine has a GPU, and TensorFlow does not use it (%s): `make gpu` adds its libraries", why)


@contextmanager
def memory_named(work: str, remedy: str) -> Iterator[None]:
    """Raise PipelineError, which says what to lower, where this block needs more memory than there is."""
    try:
        yield
    except Exception as error:
        is_memory = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
        if not (is_memory or NO_MEMORY.search(str(error))):
            raise
        raise PipelineError(f"{work}: the memory of the GPU or of this machine is used up; {remedy}") from None


@contextmanager
def _held_back() -> Iterator[list[str]]:
    """Hold back what is written to stderr, also by C++; on exit, list TensorFlow's lines and print the others."""
    chatter: list[str] = []
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile("w+b") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield chatter
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            for line in file.read().decode("utf-8", "replace").splitlines():
                if CHATTER.match(line):
                    chatter.append(line)
                elif line:
                    print(line, file=sys.stderr)
