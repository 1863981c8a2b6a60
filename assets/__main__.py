"""`python -m assets`: the whole chain from a shell, with the recipe checked before anything starts."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.artifacts import LATEST, Store
from pipeline.errors import PipelineError
from pipeline.program import add_recipe_options, key_and_value

REPORT = "evaluation_report"


def main(argv: Sequence[str] | None = None) -> int:
    """Materialise the selected assets; return 0, or 2 after printing the failure's sentence last."""
    arguments = _parser().parse_args(argv)
    try:
        changes = dict(map(key_and_value, arguments.set))
        recipe.load(arguments.recipe, changes)
        failure, last = _materialise(arguments.recipe, changes, arguments.select)
    except PipelineError as fault:
        failure = str(fault)
    except Exception as error:
        from assets import history

        failure = history.fault(error)
        if not failure:
            raise
    if failure:
        print(failure, file=sys.stderr, flush=True)
        return 2
    print(_headline(Store()) if last == REPORT else f"{last}: {Store().root / last / LATEST}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m assets", description="Run the whole chain and say where its report is."
    )
    add_recipe_options(parser)
    parser.add_argument("--select", default="*", help="assets to materialise, as in dagster (default: all)")
    return parser


def _materialise(file: Path | None, changes: dict[str, str], select: str) -> tuple[str, str]:
    """Run the assets in this process; return the first failure's sentence, or nothing, and the last asset made."""
    os.environ.setdefault("DAGSTER_HOME", str(Path.cwd()))
    import dagster as dg

    from assets.chain import ASSETS
    from assets.console import console_logger
    from assets.definitions import build_definitions
    from assets.recipe_resource import RecipeResource

    chosen = RecipeResource(file=str(file or ""), set=changes)
    definitions = dg.Definitions(
        assets=ASSETS,
        jobs=[dg.define_asset_job("selected", selection=None if select == "*" else select)],
        resources=build_definitions(recipe=chosen).resources,
        loggers={"console": console_logger},
    )
    job = definitions.resolve_job_def("selected")
    result = job.execute_in_process(
        {"loggers": {"console": {"config": {}}}}, instance=dg.DagsterInstance.get(), raise_on_error=False
    )
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            sentence = data.user_failure_data and data.user_failure_data.description
            return sentence or (data.error.message if data.error else "the run failed"), ""
    made = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]
    return "" if result.success else "the run failed", REPORT if REPORT in made or not made else made[-1]


def _headline(store: Store) -> str:
    """Return where the last report is, and its mask AP, or why there is none."""
    folder = store.root / REPORT / LATEST
    if not folder.exists():
        return f"no report yet under {store.root}"
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    return f"report: {folder / 'index.html'}\n{_mask_ap(metrics['segm'], metrics['split'])}"


def _mask_ap(figures: dict[str, Any], split: str) -> str:
    if figures["AP"] is None or figures["AP50"] is None:
        return f"mask AP not measurable: the {split} images hold no instance to find"
    return f"mask AP50 {figures['AP50']:.3f}, mask AP {figures['AP']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
