"""Training on two devices equals training on one."""

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
"""Relative; the order of summation alone changes these large losses by up to 2e-4 by the third step, a step by 4e-2."""


def figures(work: str, devices: int) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "tests.mrcnn.two_devices", work, str(devices)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    replicas, *rows = json.loads(done.stdout.splitlines()[-1])
    assert replicas == devices
    return rows


def test_losses_are_the_same_in_the_training_loop_and_in_fit():
    """Gradients are clipped together, not by device; Keras' fit can't average boolean masks."""
    one, two = figures("steps", 1), figures("steps", 2)
    assert len(one) == len(two) == 6
    for expected, found in zip(one, two, strict=True):
        assert found == {name: pytest.approx(value, rel=SAME) for name, value in expected.items()}
    for first, second in zip(one[:3], one[3:], strict=True):
        assert second == {name: pytest.approx(value, rel=SAME) for name, value in first.items()}


@pytest.mark.soak
def test_models_can_be_trained_one_after_the_other_in_stages_with_different_layers():
    """With a strategy each, they exchanged gradients: "Shape mismatch in the collective instance"."""
    one, two = figures("train", 1), figures("train", 2)
    assert len(one) == len(two) == 3
    for expected, found in zip(one, two, strict=True):
        assert found == {name: pytest.approx(value, rel=SAME) for name, value in expected.items()}


class TwoGpus(TinyConfig):
    GPU_COUNT = 2


def test_missing_gpus_are_logged(caplog):
    caplog.set_level(logging.WARNING)
    with strategy.scope(TwoGpus()):
        assert not tf.distribute.has_strategy()
    count = len(tf.config.list_logical_devices("GPU"))
    assert f"GPU_COUNT is 2, but {count} GPUs are available: they share the 4 images" in caplog.text


def test_the_caller_s_strategy_has_precedence_and_images_must_be_shared_equally(monkeypatch):
    monkeypatch.setattr(strategy, "devices_for", lambda config: ["CPU:0", "CPU:1", "CPU:2"])
    mine = tf.distribute.MirroredStrategy(["CPU:0"])
    with mine.scope(), strategy.scope(TwoGpus()):
        assert tf.distribute.get_strategy() is mine
    with pytest.raises(ValueError, match="4 images a step can't be shared equally by 3 GPUs"):
        strategy.scope(TwoGpus())
