"""What the daily job removes: artifacts that nothing needs, and runs of long ago."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets import defs, history
from assets.history import alive, pruning


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with history.opened() as instance:
        yield instance


@dg.asset
def nothing(context: dg.AssetExecutionContext) -> None:
    """Print a line."""
    print("a line of the step")


def run_of(runs: dg.DagsterInstance) -> str:
    return dg.materialize([nothing], instance=runs).run_id


def files_of(run_id: str) -> list[Path]:
    """Return the files that the history keeps for a run."""
    return [path for path in Path(history.folder()).parent.rglob("*") if run_id in str(path) and path.is_file()]


def days_later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=days)

    monkeypatch.setattr(pruning, "datetime", Later)


def test_runs_of_long_ago_are_deleted_with_their_files_but_not_what_an_asset_shows(runs, monkeypatch):
    first, last = run_of(runs), run_of(runs)
    assert files_of(first) != []
    assert pruning.delete_runs(runs, 90) == 0
    days_later(monkeypatch, 91)
    assert pruning.delete_runs(runs, 90) == 1
    assert files_of(first) == []
    assert [run.run_id for run in runs.get_runs()] == [last]
    assert runs.get_latest_materialization_event(nothing.key).run_id == last


def test_a_run_in_progress_is_never_deleted(runs, monkeypatch):
    run = runs.create_run_for_job(defs.resolve_job_def("whole_chain"))
    days_later(monkeypatch, 1000)
    assert pruning.delete_runs(runs, 1) == 0
    assert runs.get_run_by_id(run.run_id)


def test_the_lock_of_a_killed_run_goes_once_the_run_has_ended(runs):
    ended, started = run_of(runs), runs.create_run_for_job(defs.resolve_job_def("whole_chain")).run_id
    alive.lock_of(ended).parent.mkdir(parents=True)
    for run_id in (ended, started):
        alive.lock_of(run_id).touch()
    pruning.delete_runs(runs, 90)
    assert [alive.lock_of(run_id).exists() for run_id in (ended, started)] == [False, True]


def test_the_job_prunes_the_store_and_says_what_it_freed_whatever_the_recipe(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("BDD_RECIPE", "none.yaml")
    partial = tmp_path / "data/raw_labels/.partial-0123456789abcdef"
    partial.mkdir(parents=True)
    (partial / "half.parquet").write_bytes(bytes(2000))
    result = defs.resolve_job_def("prune_artifacts").execute_in_process(instance=runs)
    assert not partial.exists()
    output = next(event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    metadata = output.step_output_data.metadata
    assert (metadata["freed"].value, metadata["runs deleted"].value) == (2000, 0)
    assert metadata["removed"].value.records[0].data["path"] == "raw_labels/.partial-0123456789abcdef"
    assert not alive.lock_of(result.run_id).exists()


@pytest.mark.parametrize("variable", ["BDD_KEEP", "BDD_KEEP_RUNS"])
def test_a_number_that_is_none_is_one_sentence(runs, monkeypatch, variable):
    monkeypatch.setenv(variable, "few")
    with pytest.raises(dg.Failure, match=f"{variable}='few': is no whole number of 1 or more"):
        defs.resolve_job_def("prune_artifacts").execute_in_process(instance=runs)


def test_the_schedule_is_off_until_switched_on():
    schedule = defs.resolve_schedule_def("daily_prune")
    assert (schedule.job_name, schedule.cron_schedule) == ("prune_artifacts", "0 5 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
