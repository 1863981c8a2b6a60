"""`python -m pipeline.chain`: the chain without Dagster, as in a notebook; it uses and fills the same store."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import recipe as recipes
from pipeline.artifacts import Artifact, Built, Store
from pipeline.artifacts.summary import blocks
from pipeline.errors import BlockedError
from pipeline.program import add_recipe_options, given_to, key_and_value, run_command
from pipeline.recipe import Recipe
from pipeline.release import gate
from pipeline.stages import STAGES, Stage

LAST = "evaluation_report"

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Make what the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.chain", description="Make a stage, and all that it is made from, without Dagster."
    )
    add_recipe_options(parser)
    parser.add_argument("--until", choices=STAGES, default=LAST, help=f"the last stage (default: {LAST})")
    arguments = parser.parse_args(argv)

    def work() -> str:
        chosen = recipes.load(arguments.recipe, dict(map(key_and_value, arguments.set)))
        made = run(chosen, STAGES[arguments.until])
        return f"{made.name}: {made.folder}"

    return run_command(work, Store().root)


def run(recipe: Recipe, last: Stage) -> Artifact:
    """Make `last`, from what the store has as far as that fits; return its artifact.

    Each stage is built as under Dagster, with the same fingerprint; its summary is logged. Raises PipelineError.
    """
    store = Store()
    made: dict[str, Artifact] = {}
    for stage in needed(last):
        identities = stage.identities(recipe)
        given = given_to(stage, {name: made[name].folder for name in stage.inputs})
        make = _building(stage, recipe, given | ({"identities": identities} if stage.outside else {}))
        built = gate.build(store, stage, recipe, made, make, identities)
        made[stage.name] = built.artifact
        _log_summary(built)
        _refuse_blocked(stage, recipe, built)
    return made[last.name]


def _building(stage: Stage, recipe: Recipe, given: dict[str, Any]) -> Callable[[Path], None]:
    return lambda out: stage.build(recipe, **given, out=out)


def needed(last: Stage) -> Iterator[Stage]:
    """Yield the stages that `last` is made from, each after those that it is made from itself, and `last`."""
    names = {last.name}
    for stage in reversed(STAGES.values()):
        names |= set(stage.inputs) if stage.name in names else set()
    yield from (stage for name, stage in STAGES.items() if name in names)


def _log_summary(built: Built) -> None:
    """Log what a summary says to a person, and the checks that did not pass."""
    found, name = built.summary, built.artifact.name
    for line in found.lines:
        log.info("%s: %s", name, line)
    for check in found.failed:
        log.warning("%s: check %s did not pass: %s", name, check.name, check.description)


def _refuse_blocked(stage: Stage, recipe: Recipe, built: Built) -> None:
    """Raise BlockedError where a check that did not pass ends the chain."""
    for check in built.summary.failed:
        if blocks(stage, check, recipe):
            raise BlockedError(f"{stage.name}: check {check.name} did not pass: {check.description}")


if __name__ == "__main__":
    sys.exit(main())
