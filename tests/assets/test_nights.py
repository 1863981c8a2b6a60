"""Nights left alone: the real daemon, a schedule of every minute, mail to a server on this machine. A long proof."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from pipeline.artifacts import Artifact, Store, released
from pipeline.sample import archives
from tests.assets.alerts import mail_server
from tests.pipeline.small_datasets import entry, square

ROOT = Path(__file__).resolve().parents[2]
SEED, TRAIN, VAL = 2019, 60, 24
FEW, MANY = {"epochs": 3}, {"epochs": 14}
"""Of 40 steps: few teach the network a little, many much."""
TICK = ".dagster/scheduled_execution_time"
ENDS = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)

pytestmark = pytest.mark.soak


class Office:
    """A folder with sources and a recipe, its history, and the mails about it."""

    def __init__(self, home: Path, mails: mail_server.MailServer) -> None:
        self.home, self.mails = home, mails
        self.environment = {
            **os.environ, "BDD_DATA_DIR": str(home / "data"), "DAGSTER_HOME": str(home),
            "BDD_RECIPE": str(home / "night.yaml"), "BDD_SCHEDULE": "* * * * *",
            "BDD_MAIL_TO": "ann@example.org", "BDD_SMTP": mails.address,
        }  # fmt: skip
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        (home / "sources").mkdir()
        archives.generate(home / "sources", SEED, TRAIN, VAL)
        self.images = next((home / "sources").glob("*images*.zip"))
        self.correct(1)
        self.write_recipe(FEW)
        self.history = dg.DagsterInstance.from_config(str(home))

    def write_recipe(self, stage: dict[str, Any], **training: Any) -> None:
        """Write the recipe: the sample's, with one stage of training and other changes to it."""
        given = yaml.safe_load((ROOT / "recipes/sample.yaml").read_text())
        labels = next((self.home / "sources").glob("*labels*.zip"))
        sources = {"images": [str(self.images)], "labels": [str(labels), str(self.home / "corrected")]}
        shorter = {"steps_per_epoch": 40, "stages": [{"layers": "all", **stage}], **training}
        content = {**given, "name": "night", "source": sources, "training": {**given["training"], **shorter}}
        (self.home / "night.yaml").write_text(yaml.safe_dump(content))

    def correct(self, count: int) -> None:
        """Label so many images of the training set by hand."""
        with zipfile.ZipFile(self.images) as archive:
            names = sorted(Path(name).name for name in archive.namelist() if "/train/" in name)
        content = {name: entry(name, [square(9, 9, 50, "car")]) for name in names[:count]}
        (self.home / "corrected").mkdir(exist_ok=True)
        (self.home / "corrected/via_region_data.json").write_text(json.dumps(content))

    def runs(self) -> list[dg.DagsterRun]:
        """Return all runs, the latest first."""
        return list(self.history.get_runs())

    def night(self) -> tuple[dg.DagsterRun, str]:
        """Have the schedule start a run; return the run when it has ended, and the mail about it."""
        before, told = len(self.runs()), len(self.mails.mails)
        self._schedule("start")
        until(lambda: len(self.runs()) > before, "no run was started", 150)
        self._schedule("stop")
        until(lambda: self.runs()[0].status in ENDS, "the run doesn't end", 600)
        until(lambda: len(self.mails.mails) > told, "nobody was told", 120)
        assert len(self.runs()) == before + 1
        return self.runs()[0], self.mails.mails[-1].as_string() + self.mails.mails[-1].get_content()

    def _schedule(self, command: str) -> None:
        dagster = [sys.executable, "-m", "dagster", "schedule", command, "nightly", "-w", "workspace.yaml"]
        subprocess.run(dagster, cwd=ROOT, env=self.environment, check=True, capture_output=True)

    def made(self, run: dg.DagsterRun) -> dict[str, Any]:
        """Return the metadata of each asset that a run made or reused."""
        events = [entry.dagster_event for entry in self.history.all_logs(run.run_id) if entry.dagster_event]
        made = [event for event in events if event.is_step_materialization]
        return {event.step_key: event.step_materialization_data.materialization.metadata for event in made}

    def built(self, run: dg.DagsterRun) -> set[str]:
        """Return the assets that a run did not find made."""
        return {asset for asset, metadata in self.made(run).items() if not metadata["cached"].value}

    def released(self) -> Artifact | None:
        """Return the released model."""
        return released.released(Store(self.home / "data"), "night")


def until(condition: Callable[[], bool], complaint: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(1)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with mail_server.running() as mails:
        office = Office(tmp_path, mails)
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"]
        with (tmp_path / "log").open("wb") as log:
            daemon = subprocess.Popen(command, cwd=ROOT, env=office.environment, stdout=log, stderr=log)
            try:
                yield office
            finally:
                daemon.terminate()
                daemon.wait(60)


def test_five_nights(office: Office) -> None:
    first, mail = office.night()
    assert first.status == dg.DagsterRunStatus.SUCCESS, mail
    assert "night: a new model is released" in mail
    model = office.released()

    idle, mail = office.night()
    record = office.history.get_run_record_by_id(idle.run_id)
    assert office.built(idle) == set()
    assert record.end_time - record.start_time < 30
    assert "Subject: night: done" in mail

    office.correct(3)
    relabelled, mail = office.night()
    assert {"raw_labels", "filtered_labels", "trained_model"} <= office.built(relabelled)
    assert "2 images labelled anew" in mail
    model = office.released()

    office.write_recipe(FEW, learning_rate=1e-7)
    worse, mail = office.night()
    assert worse.status == dg.DagsterRunStatus.SUCCESS
    assert f"{model.fingerprint} stays released" in mail
    assert "released_model: better_than_released" in mail
    assert office.released() == model

    content = office.images.read_bytes()
    office.images.write_bytes(content[: len(content) // 2])
    broken, mail = office.night()
    assert broken.status == dg.DagsterRunStatus.FAILURE
    assert "Subject: night: failed" in mail
    assert office.images.name in mail
    office.images.write_bytes(content)
    fine, mail = office.night()
    assert (fine.status, office.built(fine) - {"raw_images"}) == (dg.DagsterRunStatus.SUCCESS, set())

    office.write_recipe(MANY)
    better, mail = office.night()
    assert "night: a new model is released" in mail
    assert f"released in place of {model.fingerprint}" in mail
    assert office.made(better)["released_model"]["AP_difference_low"].value > 0
    assert office.released() != model

    ticks = [run.tags[TICK] for run in office.runs()]
    assert len(set(ticks)) == len(ticks) == 7
    assert {run.job_name for run in office.runs()} == {"whole_chain"}
