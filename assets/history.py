"""Faults of the history of runs that Dagster keeps (`storage` in dagster.yaml)."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dagster._core.instance.ref import InstanceRef
from sqlalchemy.exc import OperationalError

from pipeline.program import is_full, no_space

UNWRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
"""SQLite's errors for a disk that is full (an I/O error for its shared memory) or read-only."""


def fault(error: BaseException) -> str:
    """Return one sentence naming the folder where a disk that can't be written caused `error`; else nothing."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and is_full(cause):
            return no_space(cause.filename or folder())
        if isinstance(cause, OperationalError) and isinstance(cause.orig, sqlite3.Error):
            code = cause.orig.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_FULL:
                return no_space(folder())
            if code in UNWRITABLE:
                return (
                    f"the history of runs in {folder()} can't be written ({cause.orig}): is its disk full or read-only?"
                )
    return ""


def folder() -> Path:
    """Return where `$DAGSTER_HOME/dagster.yaml` (else that of the working folder) puts the history of runs."""
    home = os.environ.get("DAGSTER_HOME") or str(Path.cwd())
    storage = InstanceRef.from_dir(home).run_storage_data
    return Path((storage.config_dict if storage else {}).get("base_dir", home)).absolute()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
