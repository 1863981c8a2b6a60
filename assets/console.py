"""What a run says on a terminal: a line a message, with the asset that it is about, and none of Dagster's own events.

What the UI shows is not decided here.
"""

import logging
import sys
from typing import Any

import dagster as dg


@dg.logger(dict, description="The asset and the message, a line each, on stderr.")
def console_logger(_: Any) -> logging.Logger:
    """Return the logger: messages of the stages at INFO and above, and failures that have no sentence of their own."""
    logger = logging.Logger("assets", logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    handler.addFilter(_is_told)
    logger.addHandler(handler)
    return logger


def _is_told(record: logging.LogRecord) -> bool:
    """Say whether a record is a message, or the traceback of a step that failed without saying why."""
    event = _facts(record).get("dagster_event")
    return not event or (event.is_step_failure and not event.step_failure_data.user_failure_data)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the time, the asset, the level above INFO, and the message without ids of runs."""
        facts = _facts(record)
        if facts.get("dagster_event"):
            return super().format(record)
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        message = facts.get("orig_message") or record.getMessage()
        return f"{self.formatTime(record, '%H:%M:%S')} {facts.get('step_key') or 'run'}: {level}{message}"


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return what Dagster's log manager attached to the record."""
    facts = getattr(record, "dagster_meta", None)
    return facts if isinstance(facts, dict) else {}
