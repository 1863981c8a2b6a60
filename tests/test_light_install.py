"""The install without Dagster, as in Colab: what is absent is said in one sentence."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT = "import sys; sys.modules['{package}'] = None\n"  # as if it were not installed


def last_line(package: str, script: str) -> str:
    """Return the last line that a script prints to stderr where a package is absent."""
    command = [sys.executable, "-c", WITHOUT.format(package=package) + script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr.splitlines()[-1]


def test_without_dagster_the_assets_name_the_way_without_it() -> None:
    assert last_line("dagster", "import assets").endswith("or use python -m pipeline.chain without it")


def test_without_tensorflow_it_is_named() -> None:
    script = "from pipeline.running.tensorflow_start import start_tensorflow; start_tensorflow()"
    assert "TensorFlow is not installed: pip install" in last_line("tensorflow", script)


@pytest.mark.parametrize("package", ["dagster", "tensorflow"])
def test_what_colab_does_without_or_has_is_no_core_dependency(package: str) -> None:
    core = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert not [each for each in core if each.startswith(package)]
