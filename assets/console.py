"""What a run says on a terminal: messages, a line each, without Dagster's own events; and its last lines."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from assets.keys import stage_of

MODEL, REPORT = "trained_model", "evaluation_report"
EVALUATION = "ASSET_CHECK_EVALUATION"
"""Dagster's type of the event that says how a check came out."""
INTERRUPTED = "DagsterExecutionInterruptedError"
OF_DAGSTER = ("[pipes] ", "Dependencies for step ")
"""How Dagster's own messages begin; how a program ended is said in its own sentence."""


@dg.logger(dict, description="The asset and the message, a line each, on stderr.")
def console_logger(_: Any) -> logging.Logger:
    """Return the logger: messages of the stages at INFO and above, and failures that have no sentence of their own."""
    logger = logging.Logger("assets", logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    handler.addFilter(_is_shown)
    logger.addHandler(handler)
    return logger


def _is_shown(record: logging.LogRecord) -> bool:
    """Return whether a record is a message, or the traceback of a step that failed without a sentence."""
    event = _metadata(record).get("dagster_event")
    if str(_metadata(record).get("orig_message")).startswith(OF_DAGSTER):
        return False
    return not event or (event.is_step_failure and not _has_a_sentence(event.step_failure_data))


def _has_a_sentence(failed: Any) -> bool:
    """Return whether what a step failed by is said without its traceback: a fault, a check, or that it was stopped."""
    said = {"DagsterAssetCheckFailedError", INTERRUPTED}
    return bool(failed.user_failure_data) or not said.isdisjoint(_classes(failed.error))


def is_interrupted(failed: Any) -> bool:
    """Return whether a step failed since a person or the system ended the run."""
    return INTERRUPTED in _classes(failed.step_failure_data.error)


def _classes(error: Any) -> Iterator[str]:
    """Yield the classes of an error, and of those that it came from, by name."""
    while error:
        yield error.cls_name
        error = error.cause or error.context


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the time, the asset, the level above INFO, and the message without ids of runs."""
        metadata = _metadata(record)
        if metadata.get("dagster_event"):
            return super().format(record)
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        message = metadata.get("orig_message") or record.getMessage()
        return f"{self.formatTime(record, '%H:%M:%S')} {metadata.get('step_key') or 'run'}: {level}{message}"


def _metadata(record: logging.LogRecord) -> dict[str, Any]:
    """Return what Dagster's log manager attached to the record."""
    metadata = getattr(record, "dagster_meta", None)
    return metadata if isinstance(metadata, dict) else {}


def failed_checks(events: Sequence[Any]) -> list[Any]:
    """Return what Dagster's events of a run say of the checks that did not pass."""
    checks = [event.asset_check_evaluation_data for event in events if event.event_type_value == EVALUATION]
    return [check for check in checks if not check.passed]


def sentence(failed: Any, checks: Sequence[Any]) -> str:
    """Return what a step that failed says, or which of the checks that did not pass ended the chain."""
    for check in checks:
        if check.severity == dg.AssetCheckSeverity.ERROR and check.asset_key.to_python_identifier() == failed.step_key:
            return f"{stage_of(failed.step_key)}: check {check.check_name} did not pass: {check.description}"
    data = failed.step_failure_data
    return (data.user_failure_data and data.user_failure_data.description) or (data.error and data.error.message) or ""


def last_lines(made: Sequence[Path], failed: Sequence[str] = ()) -> list[str]:
    """Return the last lines of a run that made (or reused) these artifacts, given by their folders, in order.

    `failed` are the checks that did not pass, as `asset: check`.
    """
    count = f"{len(failed)} check{'s' * (len(failed) > 1)} did not pass (see above): {', '.join(failed)}"
    lines = [count] if failed else []
    folders = {folder.parent.name: folder for folder in made}
    if MODEL in folders:
        lines += [f"weights: {path}" for path in sorted(folders[MODEL].glob("*.h5"))]
    if REPORT in folders:
        return [*lines, *_of_the_report(folders[REPORT])]
    return lines if MODEL in folders else [*lines, f"{made[-1].parent.name}: {made[-1]}"]


def _of_the_report(folder: Path) -> list[str]:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    return [f"report: {folder / 'index.html'}", _mask_ap(metrics["segm"], metrics["split"])]


def _mask_ap(figures: dict[str, Any], split: str) -> str:
    if figures["AP"] is None or figures["AP50"] is None:
        return f"mask AP not measurable: the {split} images hold no instance to find"
    return f"mask AP50 {figures['AP50']:.3f}, mask AP {figures['AP']:.3f}"
