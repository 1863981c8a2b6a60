"""Runs of several recipes that start together on one data folder and one history, none of which is there before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import recipe
from pipeline.artifacts import Store
from pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
TIMES = 20


def run_together(folder: Path, select: str, sizes: tuple[int, ...]) -> None:
    """Start a run for each size of the sample; each ends well, and its last line names the artifact of its recipe."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "BDD_DATA_DIR": str(folder / "data"), "DAGSTER_HOME": str(folder)}
    runs = {}
    for size in sizes:
        file = folder / f"{size}.yaml"
        file.write_text(yaml.safe_dump({"name": f"r{size}", "source": {"sample": {"train": size, "val": 1}}}))
        command = [sys.executable, "-m", "assets", "--recipe", str(file), "--select", select]
        with (folder / f"{size}.log").open("w") as log:
            runs[file] = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )
    for file, run in runs.items():
        said, _ = run.communicate()
        assert run.returncode == 0, file.with_suffix(".log").read_text()
        own = Store(folder / "data").matching(STAGES[select.strip("*")], recipe.load(file))
        assert said.splitlines()[-1] == f"{own.name}: {own.folder}"


def test_first_runs_that_start_together_all_open_the_history(tmp_path):
    command = [sys.executable, "-c", "from assets import history; history.opened()"]
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    runs = [subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [run.communicate()[1] for run in runs if run.wait()] == []


@pytest.mark.soak
def test_three_recipes_at_once_each_take_their_own_artifacts_twenty_times(tmp_path):
    for time in range(TIMES):
        run_together(tmp_path / str(time), "*filtered_labels", (2, 3, 4))
