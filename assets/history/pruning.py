"""The job that keeps the disk from filling: each day it removes artifacts that nothing needs, and runs of long ago."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from assets.history import alive
from pipeline.artifacts import Store, listing, retention
from pipeline.errors import PipelineError
from pipeline.files import data_folder
from pipeline.running import locks

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
KEEP_RUNS = 90
"""Days."""


@dg.op(out=dg.Out(dg.Nothing), description="Removes artifacts that nothing kept needs, and runs of long ago.")
def prune(context: dg.OpExecutionContext) -> None:
    """Prune the store and the history of runs; tell what was freed."""
    with alive.executed(context.instance, context.run_id):
        try:
            keep, days = _number("BDD_KEEP", retention.KEEP), _number("BDD_KEEP_RUNS", KEEP_RUNS)
            store = Store()
            removals = retention.prune(store, keep)
        except PipelineError as fault:
            raise dg.Failure(description=str(fault), allow_retries=False) from None
        runs = delete_runs(context.instance, days)
    freed = sum(each.freed for each in removals)
    context.log.info(f"freed {listing.size(freed)} of {store.root}; {runs} runs older than {days} days deleted")
    cells = listing.removed(store, removals)
    context.add_output_metadata(
        {
            "freed": freed,
            "runs deleted": runs,
            "removed": dg.MetadataValue.table(
                [dg.TableRecord({"freed": freed, "path": path, "why": why}) for freed, path, why in cells],
                dg.TableSchema([dg.TableColumn(name, "string") for name in ("freed", "path", "why")]),
            ),
        }
    )


@dg.job(
    description="Keeps the newest artifacts of each stage and recipe (BDD_KEEP, 5), what they were made from, what is "
    "released or in use, and the runs of some days (BDD_KEEP_RUNS, 90); removes the rest.",
    executor_def=dg.in_process_executor,
    resource_defs={"io_manager": dg.mem_io_manager},  # that of the assets needs a recipe without faults
)
def prune_artifacts() -> None:
    """Prune."""
    prune()


def delete_runs(instance: dg.DagsterInstance, days: int) -> int:
    """Delete runs that ended more than `days` ago, with their events and what they printed; return how many.

    The run that materialised an asset last stays, so that the asset's page does.
    """
    latest = (instance.get_latest_materialization_event(key) for key in instance.all_asset_keys())
    kept = {event.run_id for event in latest if event}
    wanted = dg.RunsFilter(statuses=ENDED, updated_before=datetime.now(UTC) - timedelta(days=days))
    gone = [run.run_id for run in instance.get_runs(wanted) if run.run_id not in kept]
    for run_id in gone:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _delete_events_file(instance, run_id)
    _remove_locks(instance)
    return len(gone)


def _delete_events_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete the file of a run's events where each run has one: Dagster only empties it, and it keeps its size."""
    from dagster._core.storage.event_log import SqliteEventLogStorage  # takes half a second

    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{storage.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)


def _remove_locks(instance: dg.DagsterInstance) -> None:
    """Remove the locks that killed runs left, once run monitoring has ended them."""
    for path in (data_folder() / alive.FOLDER).glob("*"):
        run = instance.get_run_by_id(path.name)
        if run and run.is_finished and not locks.is_held(path):
            path.unlink()


def _number(variable: str, default: int) -> int:
    """Return the number of an environment variable; raises PipelineError where it holds something else."""
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise PipelineError(f"{variable}={text!r}: is no whole number of 1 or more")
    return int(text)
