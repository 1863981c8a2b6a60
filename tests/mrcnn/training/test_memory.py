"""Memory does not grow with training steps and detections."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("configuration", "count"), [("tiny", 150), pytest.param("b", 300, marks=pytest.mark.soak)])
def test_memory_grows_by_less_than_2_percent_after_the_first_fifty(configuration, count):
    command = [sys.executable, "-m", "tests.mrcnn.memory", configuration, str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    print(done.stdout.splitlines()[-1])  # for the record of make soak
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["train"] < 0.02
    assert found["detect"] < 0.02
