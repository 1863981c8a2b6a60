"""What becomes of a run whose process is killed, as Dagster's run monitoring sees it."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from assets import defs, history
from assets.history import alive

ROOT = Path(__file__).resolve().parents[3]
EXECUTING = """
import sys
from assets import history
from assets.history import alive
with alive.executed(history.opened(), sys.argv[1]):
    print("executing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Yield a history with the checkout's own settings of launcher and monitoring."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    ours = {name: settings[name] for name in ("run_launcher", "run_monitoring", "retention", "telemetry")}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(ours))
    with history.opened() as instance:
        yield instance


def test_the_deployment_has_the_same_settings():
    ours, deployed = (yaml.safe_load((ROOT / file).read_text()) for file in ("dagster.yaml", "deploy/dagster.yaml"))
    for name in ("run_launcher", "run_monitoring", "retention"):
        assert deployed[name] == ours[name]


def started(runs: dg.DagsterInstance) -> dg.DagsterRun:
    run = runs.create_run_for_job(defs.resolve_job_def("whole_chain"))
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "whole_chain")
    runs.report_dagster_event(event, run.run_id)
    return run


def monitored(runs: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """Let the monitoring daemon look once; return the run's status then."""
    context = SimpleNamespace(instance=runs, create_request_context=lambda: None)
    assert [fault for fault in execute_run_monitoring_iteration(context, logging.getLogger()) if fault] == []
    return runs.get_run_by_id(run.run_id).status


def test_a_run_whose_process_was_killed_ends_as_failed(runs):
    run = started(runs)
    command = [sys.executable, "-c", EXECUTING, run.run_id]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "executing\n"
    assert monitored(runs, run) is dg.DagsterRunStatus.STARTED
    process.kill()
    process.wait()
    assert monitored(runs, run) is dg.DagsterRunStatus.FAILURE
    assert alive.DEAD in runs.all_logs(run.run_id)[-1].message


def test_a_run_of_older_code_which_has_no_lock_is_left_as_it_is(runs):
    assert monitored(runs, started(runs)) is dg.DagsterRunStatus.STARTED


def test_a_run_that_ends_leaves_no_lock(runs):
    def interrupted() -> None:
        with alive.executed(runs, "a"):
            assert alive.lock_of("a").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not alive.lock_of("a").exists()


def test_a_run_without_history_has_no_lock(runs):
    with dg.DagsterInstance.ephemeral() as nowhere, alive.executed(nowhere, "a"):
        assert not alive.lock_of("a").exists()
