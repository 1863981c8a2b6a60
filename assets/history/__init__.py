"""The history of runs that Dagster keeps (`storage` in dagster.yaml): how it is opened, what of a run, its faults."""

import os
import sqlite3
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run_iterator
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from sqlalchemy.exc import IntegrityError, OperationalError

from assets.recipe_resource import RecipeResource
from pipeline.errors import PipelineError
from pipeline.program import REFUSALS, is_full, no_space
from pipeline.running import locks

UNWRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
"""SQLite's errors for a disk that is full (an I/O error for its shared memory) or read-only."""

LOCK, ATTEMPTS = ".lock-history", 5
LOCATION = "assets"
"""The code location, as workspace.yaml and pyproject.toml (`[tool.dg.project]`) name it."""


def opened() -> dg.DagsterInstance:
    """Return Dagster's instance of `$DAGSTER_HOME`, else of the working folder; raises PipelineError for no folder.

    One process at a time makes its tables, since SQLite's migrations run into each other; what Dagster itself starts
    doesn't know of the lock, and is waited for.
    """
    if not _home().is_dir():
        raise PipelineError(f"DAGSTER_HOME={_home()}: there is no such folder: make it, or unset DAGSTER_HOME")
    with locks.held(folder() / LOCK, "the history of runs"):
        for _ in range(ATTEMPTS):
            with suppress(OperationalError, IntegrityError):
                return dg.DagsterInstance.from_ref(_reference(_home()))
            time.sleep(1)
        return dg.DagsterInstance.from_ref(_reference(_home()))


def execute(
    history: dg.DagsterInstance, job: dg.JobDefinition, config: dict[str, Any], assets: Collection[dg.AssetKey] | None
) -> list[dg.DagsterEvent]:
    """Run the job, or some of its assets, in this process; return the events. The UI can execute the run again."""
    chosen = frozenset(assets) if assets else None
    origin = _job_origin(job.name)
    run = history.create_run_for_job(job, run_config=config, asset_selection=chosen, remote_job_origin=origin)
    return list(execute_run_iterator(InMemoryJob(job), run, history))


def remember(history: dg.DagsterInstance, run_id: str, recipe: RecipeResource) -> None:
    """Tag the run with its recipe, and link it to its job; raises dagster.Failure where the recipe has a fault.

    Dagster doesn't link runs of its own command line; without the link the UI can't execute a run again.
    """
    run = history.get_run_by_id(run_id)
    assert run is not None
    tags = recipe.tags()
    origin = None if run.remote_job_origin else _job_origin(run.job_name)
    if origin:
        tags[REPOSITORY_LABEL_TAG] = origin.repository_origin.get_label()
    if not tags.items() <= run.tags.items():
        history.add_run_tags(run_id, tags)
    if origin:
        history.run_storage.replace_job_origin(run.with_tags({**run.tags, **tags}), origin)


def _job_origin(job: str) -> RemoteJobOrigin:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="assets")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), job)


def fault(error: BaseException) -> str:
    """Return one sentence naming the folder where a disk that can't be written caused `error`; else nothing."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and is_full(cause):
            return no_space(cause.filename or folder())
        if isinstance(cause, OSError) and cause.errno in REFUSALS and _concerns(str(cause.filename)):
            return f"the history of runs in {folder()} can't be written: {cause.strerror}"
        if isinstance(cause, OperationalError) and isinstance(cause.orig, sqlite3.Error):
            code = cause.orig.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_FULL:
                return no_space(folder())
            if code in UNWRITABLE:
                return (
                    f"the history of runs in {folder()} can't be written ({cause.orig}): is its disk full or read-only?"
                )
    return ""


def _concerns(path: str) -> bool:
    """Return whether a path is in the history's folder, or one above it."""
    return Path(path).is_relative_to(folder()) or folder().is_relative_to(path)


def folder() -> Path:
    """Return where `$DAGSTER_HOME/dagster.yaml` (else that of the working folder) puts the history of runs."""
    storage = _reference(_home()).run_storage_data
    return Path((storage.config_dict if storage else {}).get("base_dir", _home())).absolute()


def _home() -> Path:
    return Path(os.environ.get("DAGSTER_HOME") or Path.cwd()).expanduser().absolute()


@cache
def _reference(home: Path) -> InstanceRef:
    try:
        return InstanceRef.from_dir(str(home))
    except (yaml.YAMLError, dg.DagsterInvalidConfigError) as error:
        raise PipelineError(f"{home}/dagster.yaml: {' '.join(str(error).split())[:300]}") from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
