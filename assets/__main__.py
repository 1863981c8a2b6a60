"""`python -m assets`: the whole chain from a shell, with the recipe checked before anything starts."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.errors import PipelineError
from pipeline.program import EXIT_INTERRUPTED, add_recipe_options, key_and_value


class InterruptedRunError(PipelineError):
    """A person or the system has ended a run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Materialise the selected assets; return 0, or 2 (130 when interrupted) after its sentence."""
    arguments = _parser().parse_args(argv)
    try:
        changes = dict(map(key_and_value, arguments.set))
        recipe.load(arguments.recipe, changes)
        made, failed = _materialise(arguments.recipe, changes, arguments.select)
    except (InterruptedRunError, KeyboardInterrupt) as stop:
        print(str(stop) or "interrupted", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    except PipelineError as fault:
        failure = str(fault)
    except Exception as error:
        from assets import history

        failure = history.fault(error)
        if not failure:
            raise
    else:
        from assets.console import last_lines

        print("\n".join(last_lines(made, failed)))
        return 0
    print(failure, file=sys.stderr, flush=True)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m assets", description="Run the whole chain and say where its report is."
    )
    add_recipe_options(parser)
    parser.add_argument(
        "--select", default="*", help="assets to materialise, as in dagster: a,b or '*b' (default: all)"
    )
    return parser


def _materialise(file: Path | None, changes: dict[str, str], select: str) -> tuple[list[Path], list[str]]:
    """Run the selection of the job `whole_chain` in this process; return the folders of what was made or reused.

    With them come the checks that did not pass, as `asset: check`. Raises PipelineError with the sentence of the first
    failure, or with one for each source that is absent.
    """
    from assets import history
    from assets.console import failed_checks, is_interrupted, sentence
    from assets.definitions import defs
    from assets.keys import stage_of
    from assets.recipe_resource import RecipeResource
    from assets.selection import selected
    from pipeline.stages import STAGES
    from pipeline.training.absent import absent

    job = defs.resolve_job_def("whole_chain")
    chosen = None if select == "*" else selected(select, job.asset_layer.asset_graph)
    resource = RecipeResource(file=str(file or ""), set=changes)
    if faults := list(absent(resource.load(), STAGES if chosen is None else [key.path[-1] for key in chosen])):
        raise PipelineError("\n".join(faults))
    config = resource.run_config() | {"loggers": {"console": {}}}
    events = history.execute(history.opened(), job, config, chosen)
    checks = failed_checks(events)
    if not any(event.is_job_success for event in events):
        failures = [event for event in events if event.is_step_failure]
        if stopped := next(filter(is_interrupted, failures), None):
            stage = STAGES[stage_of(stopped.step_key)]
            goes_on = "from its last state" if stage.resumes_from else "after what is finished"
            raise InterruptedRunError(f"interrupted in {stage.name}: the same command goes on {goes_on}")
        raise PipelineError(next((sentence(event, checks) for event in failures), "") or "the run failed")
    folders = [_folder(event) for event in events if event.is_step_materialization]
    return folders, [f"{check.asset_key.to_user_string()}: {check.check_name}" for check in checks]


def _folder(made: Any) -> Path:
    """Return the artifact's folder, as an event tells that it was materialised."""
    return Path(made.step_materialization_data.materialization.metadata["folder"].value)


if __name__ == "__main__":
    sys.exit(main())
