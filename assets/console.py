"""Messages of a run on a terminal: a line each, with their asset, and without Dagster's own events."""

import logging
import sys
from typing import Any

import dagster as dg

OF_PIPES = "[pipes] "
"""How what Dagster Pipes says of its channel begins; how a program ended is said in its own sentence."""


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
    if str(_metadata(record).get("orig_message")).startswith(OF_PIPES):
        return False
    return not event or (event.is_step_failure and not event.step_failure_data.user_failure_data)


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
