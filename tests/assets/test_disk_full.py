"""A disk that is full while any stage writes: one sentence, nothing half-written, and the next run goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.artifacts import LATEST, damage
from pipeline.stages import STAGES
from tests.assets import tiny

ROOT = Path(__file__).resolve().parents[2]
SIZE = "12k"
"""Less than any stage writes: three pages."""

pytestmark = [pytest.mark.soak, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put a disk of a few kilobytes in the place of an empty folder."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    tiny.write(folder)
    return folder


def run(home: Path, stage: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "assets", "--recipe", str(home / "tiny.yaml"), "--select", f"*{stage}"]
    environment = {**os.environ, "BDD_DATA_DIR": str(home / "data"), "DAGSTER_HOME": str(home)}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_under_a_stage_is_one_sentence_and_the_next_run_is_fine(home: Path, stage: str) -> None:
    folder = home / "data" / stage
    with small_disk(folder):
        failed = run(home, stage)
        assert failed.returncode == 2, failed.stderr[-3000:]
        assert failed.stderr.splitlines()[-1].startswith("no space is left on the disk of "), failed.stderr[-3000:]
        assert not list(folder.glob("*/manifest.json"))
    done = run(home, stage)
    assert done.returncode == 0, done.stderr[-3000:]
    assert damage(folder / LATEST, hash_files=True) == []
    assert not list(folder.glob(".partial-*"))
