"""The summary of a stage's result, `summary.json` in the artifact's folder, which Dagster shows."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.files.atomic import write_json
from pipeline.recipe import Recipe
from pipeline.stages import Stage

FILE = "summary.json"


@dataclass(frozen=True)
class Check:
    """A check of the result; a failed one is a warning to a person, or ends the chain (`blocked`)."""

    name: str
    passed: bool
    description: str
    numbers: dict[str, float] = field(default_factory=dict)
    asked_for: bool = False
    """Whether the recipe asks for what fails it; then it never ends the chain."""
    examples: list[dict[str, Any]] = field(default_factory=list)
    """Rows of a small table."""


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

    def plus(self, other: "Summary") -> "Summary":
        """Return what both say."""
        return Summary(
            self.numbers | other.numbers,
            self.texts | other.texts,
            self.tables | other.tables,
            self.pictures | other.pictures,
            self.checks + other.checks,
            self.lines + other.lines,
        )


def blocks(stage: Stage, check: Check, recipe: Recipe) -> bool:
    """Return whether a check of a stage ends the chain where it does not pass."""
    chosen: Mapping[Any, str] = recipe.checks
    by_default = "block" if check.name in stage.blocking and not check.asked_for else "warn"
    return chosen.get(check.name, by_default) == "block"


def write(folder: Path, summary: Summary) -> None:
    """Write `summary` to the artifact's folder."""
    write_json(folder / FILE, asdict(summary))


def read(folder: Path) -> Summary:
    """Return the summary of a finished artifact."""
    content = json.loads((folder / FILE).read_text("utf-8"))
    return Summary(**{**content, "checks": [Check(**check) for check in content["checks"]]})
