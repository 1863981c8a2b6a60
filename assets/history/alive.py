"""Which runs have a living process: each holds a lock while it is executed, and the launcher asks for it.

Dagster's own launcher doesn't know what became of the process of a run, so that one that was killed stays STARTED.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

from pipeline.files import data_folder
from pipeline.running import locks

log = logging.getLogger(__name__)

FOLDER = ".running"
DEAD = "the process of the run has ended without its end: it was killed, or the machine was restarted"


def lock_of(run_id: str) -> Path:
    """Return the lock file of a run, there until the run ends; who runs and who watches share the data folder."""
    return data_folder() / FOLDER / run_id


@contextmanager
def executed(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock of a run while it is executed; a run without history has none."""
    if instance.is_ephemeral:
        yield
        return
    path = lock_of(run_id)
    try:
        lock = locks.kept(path)
    except OSError as error:  # a stage that can't write to the folder says so in a sentence
        log.debug("%s: %s: nobody notices when this run is killed", path, error.strerror)
        yield
        return
    with lock:
        try:
            yield
        finally:
            path.unlink()


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Starts runs as Dagster's default does, and tells run monitoring which of all runs have lost their process."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether run monitoring asks for each run in progress."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return FAILED where nobody holds the run's lock; a run without one (of older code) counts as running."""
        path = lock_of(run.run_id)
        if not path.exists() or locks.is_held(path):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, DEAD)
