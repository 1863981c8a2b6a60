"""The summary of a stage's result, `summary.json` in the artifact's folder, which Dagster shows."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.files.atomic import write_json

FILE = "summary.json"


@dataclass(frozen=True)
class Check:
    """A check of the result; a failed one is a warning to a person and never stops the chain."""

    name: str
    passed: bool
    description: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """Numbers and texts by name, tables, small pictures (paths in the folder), checks, lines of text.

    A table is a list of rows; a field that a row lacks is an empty cell.
    """

    numbers: dict[str, int | float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Plain text for the terminal."""

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]


def write(folder: Path, summary: Summary) -> None:
    """Write `summary` to the artifact's folder."""
    write_json(folder / FILE, asdict(summary))


def read(folder: Path) -> Summary:
    """Return the summary of a finished artifact."""
    content = json.loads((folder / FILE).read_text("utf-8"))
    return Summary(**{**content, "checks": [Check(**check) for check in content["checks"]]})
