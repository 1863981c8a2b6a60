"""Two devices learn what one learns from the same batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def losses(devices: int) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "tests.mrcnn.two_devices", str(devices)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_losses_are_the_same_step_by_step():
    """The gradients are clipped as one, not on each device."""
    for one, two in zip(losses(1), losses(2), strict=True):
        assert two == {name: pytest.approx(value, rel=1e-4) for name, value in one.items()}
