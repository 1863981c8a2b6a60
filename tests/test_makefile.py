"""How `make` ends: with the exit and the messages of the program that it ran."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is absent")


def make_demo(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run `make demo` with a shell script in the place of Python."""
    script = folder / "program"
    script.write_text(f"#!/bin/bash\n{program}\n")
    script.chmod(0o755)
    command = ["make", "demo", f"RUN={script}", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}  # of a `make test` around
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_success_prints_only_what_the_program_prints(tmp_path: Path) -> None:
    done = make_demo(tmp_path, "echo the report is there; echo a warning >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the report is there\n", "a warning\n")


def test_a_failure_shows_its_message_and_fails_make(tmp_path: Path) -> None:
    done = make_demo(tmp_path, "echo 'labels, (cut).json: is $cut short' >&2; exit 3")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "labels, (cut).json: is $cut short"


def test_a_failure_without_a_message_fails_make(tmp_path: Path) -> None:
    assert make_demo(tmp_path, "exit 3").returncode == 2


def test_a_killed_program_fails_make(tmp_path: Path) -> None:
    done = make_demo(tmp_path, "kill -9 $$")
    assert done.returncode == 2
    assert "Killed" in done.stderr
