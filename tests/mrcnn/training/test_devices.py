"""Two devices learn what one learns from the same batch."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from mrcnn.training import devices as strategy
from tests.mrcnn.conftest import TinyConfig

ROOT = Path(__file__).resolve().parents[3]
SAME = 1e-3
"""Relative: by the third step, the order of summing alone makes up to 2e-4 of these large losses; a step is 4e-2."""


def figures(work: str, devices: int) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "tests.mrcnn.two_devices", work, str(devices)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    replicas, *rows = json.loads(done.stdout.splitlines()[-1])
    assert replicas == devices
    return rows


def test_the_losses_are_the_same_step_by_step_in_our_loop_and_in_fit():
    """The gradients are clipped as one, not on each device; Keras' fit can't take the mean of boolean masks."""
    one, two = figures("steps", 1), figures("steps", 2)
    assert len(one) == len(two) == 6
    for expected, found in zip(one, two, strict=True):
        assert found == {name: pytest.approx(value, rel=SAME) for name, value in expected.items()}
    for first, second in zip(one[:3], one[3:], strict=True):
        assert second == {name: pytest.approx(value, rel=SAME) for name, value in first.items()}


@pytest.mark.soak
def test_models_are_trained_one_after_the_other_in_stages_of_unequal_numbers_of_weights():
    """Each a strategy of its own, they mixed up their gradients: "Shape mismatch in the collective instance"."""
    one, two = figures("train", 1), figures("train", 2)
    assert len(one) == len(two) == 3
    for expected, found in zip(one, two, strict=True):
        assert found == {name: pytest.approx(value, rel=SAME) for name, value in expected.items()}


class TwoGpus(TinyConfig):
    GPU_COUNT = 2


def test_gpus_that_are_not_there_are_done_without_and_that_is_said(caplog):
    caplog.set_level(logging.WARNING)
    with strategy.scope(TwoGpus()):
        assert not tf.distribute.has_strategy()
    there = len(tf.config.list_logical_devices("GPU"))
    assert f"GPU_COUNT is 2 and {there} GPUs are there: these take all 4 images" in caplog.text


def test_a_strategy_of_the_caller_has_precedence_and_images_are_shared_equally(monkeypatch):
    monkeypatch.setattr(strategy, "devices_for", lambda config: ["CPU:0", "CPU:1", "CPU:2"])
    mine = tf.distribute.MirroredStrategy(["CPU:0"])
    with mine.scope(), strategy.scope(TwoGpus()):
        assert tf.distribute.get_strategy() is mine
    with pytest.raises(ValueError, match="4 images a step can't be shared equally by 3 GPUs"):
        strategy.scope(TwoGpus())
