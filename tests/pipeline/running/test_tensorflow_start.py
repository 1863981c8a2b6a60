"""TensorFlow starts without its own lines; a GPU that it doesn't use is a warning with the reason."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import logging
from pipeline.running import tensorflow_start
logging.basicConfig(format="%(message)s")
tensorflow_start.GPU_FILES = ("{file}",)
tensorflow_start.start_tensorflow()
"""


def said(file: str) -> str:
    """Return what is written to stderr where TensorFlow starts on a machine whose GPU is this file."""
    command = [sys.executable, "-c", PROGRAM.format(file=file)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stderr


def test_nothing_is_said_without_a_gpu() -> None:
    assert said("/none") == ""


def test_a_gpu_that_is_not_used_is_a_warning_with_the_reason() -> None:
    (warning,) = said("/dev/null").splitlines()
    assert warning.startswith("this machine has a GPU, and TensorFlow does not use it (")
    assert warning.endswith("): `make gpu` adds its libraries")
