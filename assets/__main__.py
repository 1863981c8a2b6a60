"""`python -m assets`: the whole chain from a shell, with the recipe checked before anything starts."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.errors import PipelineError
from pipeline.program import add_recipe_options, key_and_value

REPORT = "evaluation_report"


def main(argv: Sequence[str] | None = None) -> int:
    """Materialise the selected assets; return 0, or 2 after printing the failure's sentence last."""
    arguments = _parser().parse_args(argv)
    try:
        changes = dict(map(key_and_value, arguments.set))
        recipe.load(arguments.recipe, changes)
        last = _materialise(arguments.recipe, changes, arguments.select)
    except PipelineError as fault:
        failure = str(fault)
    except Exception as error:
        from assets import history

        failure = history.fault(error)
        if not failure:
            raise
    else:
        print(_headline(last) if last.parent.name == REPORT else f"{last.parent.name}: {last}")
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


def _materialise(file: Path | None, changes: dict[str, str], select: str) -> Path:
    """Run the selection of the job `whole_chain` in this process; return the folder of the report or the last asset.

    Raises PipelineError with the sentence of the first failure.
    """
    from assets import history
    from assets.definitions import defs
    from assets.recipe_resource import RecipeResource
    from assets.selection import selected

    job = defs.resolve_job_def("whole_chain")
    chosen = None if select == "*" else selected(select, job.asset_layer.asset_graph)
    config = RecipeResource(file=str(file or ""), set=changes).run_config() | {"loggers": {"console": {}}}
    events = history.execute(history.opened(), job, config, chosen)
    if not any(event.is_job_success for event in events):
        failed = (_sentence(event) for event in events if event.is_step_failure)
        raise PipelineError(next(failed, "") or "the run failed")
    made = [_folder(event) for event in events if event.is_step_materialization]
    return next((folder for folder in made if folder.parent.name == REPORT), made[-1])


def _sentence(failed: Any) -> str:
    """Return what a step that failed says."""
    data = failed.step_failure_data
    return (data.user_failure_data and data.user_failure_data.description) or (data.error and data.error.message) or ""


def _folder(made: Any) -> Path:
    """Return the artifact's folder, as an event tells that it was materialised."""
    return Path(made.step_materialization_data.materialization.metadata["folder"].value)


def _headline(report: Path) -> str:
    """Return where the report is, and its mask AP, or why there is none."""
    metrics = json.loads((report / "metrics.json").read_text("utf-8"))
    return f"report: {report / 'index.html'}\n{_mask_ap(metrics['segm'], metrics['split'])}"


def _mask_ap(figures: dict[str, Any], split: str) -> str:
    if figures["AP"] is None or figures["AP50"] is None:
        return f"mask AP not measurable: the {split} images hold no instance to find"
    return f"mask AP50 {figures['AP50']:.3f}, mask AP {figures['AP']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
