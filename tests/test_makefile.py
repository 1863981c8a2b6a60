"""How `make` ends: with the program's exit, and with its sentence as the last line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is absent")


def made(folder: Path, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make demo` with a shell script in the place of Python."""
    script = folder / "program"
    script.write_text(f"#!/bin/bash\n{program}\n")
    script.chmod(0o755)
    command = ["make", "demo", f"RUN={script}", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
    outside = {name: value for name, value in os.environ.items() if "MAKE" not in name}  # of a `make test` around this
    environment = outside | {"TMPDIR": str(folder)} | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_what_succeeds_ends_well_whatever_it_says(tmp_path: Path) -> None:
    done = made(tmp_path, "echo the report is there; echo a warning >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the report is there\n", "a warning\n")
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


def test_a_fault_s_sentence_comes_last(tmp_path: Path) -> None:
    done = made(tmp_path, "echo working >&2; echo 'labels, (cut).json: is $cut short' >&2; echo >&2; exit 3")
    assert done.returncode == 2
    assert "labels, (cut).json: is $cut short" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


@pytest.mark.parametrize("said", ["true", "echo >&2"])
def test_a_fault_without_a_sentence_is_a_fault(tmp_path: Path, said: str) -> None:
    assert made(tmp_path, f"{said}; exit 3").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


def test_a_program_that_was_killed_is_said_to_have_been(tmp_path: Path) -> None:
    done = made(tmp_path, "echo epoch 3 >&2; kill -9 $$")
    assert done.returncode == 2
    assert "ended by signal 9" in done.stderr.splitlines()[-1]


def test_a_sentence_that_can_t_be_kept_is_shown_and_is_a_fault(tmp_path: Path) -> None:
    """As on a full disk: the place for it can't be written to."""
    done = made(tmp_path, "echo no space >&2; exit 28", TMPDIR=str(tmp_path / "absent"))
    assert done.returncode == 2
    assert "no space" in done.stderr.splitlines()
