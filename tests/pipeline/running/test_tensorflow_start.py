"""TensorFlow starts without its own lines; a GPU that it doesn't use is a warning with the reason."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.detections import less_memory
from pipeline.running import tensorflow_start

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


class ResourceExhaustedError(Exception):
    """Named like TensorFlow's."""


@pytest.mark.parametrize(
    "error",
    [ResourceExhaustedError(), MemoryError(), RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: failed to call cuMemAlloc")],
)
def test_memory_that_is_used_up_is_a_sentence_with_the_remedy(error: Exception) -> None:
    said = r"^evaluation: the memory .* is used up; lower it$"
    with pytest.raises(PipelineError, match=said), tensorflow_start.memory_named("evaluation", "lower it"):
        raise error
    with pytest.raises(KeyError), tensorflow_start.memory_named("evaluation", "lower it"):
        raise KeyError


def test_detection_says_which_batch_needed_the_memory() -> None:
    images = [np.zeros((90, 160, 3), np.uint8), np.zeros((720, 1280, 3), np.uint8)]
    assert "2 images of up to 1280x720 pixels: set evaluation.batch_size to 1" in less_memory(
        "evaluation.batch_size", images
    )
    assert "smaller training.min_dim" in less_memory("evaluation.batch_size", images[:1])
