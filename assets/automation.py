"""When the chain runs by itself: a job of all assets, every night, or when the recipe or a source changed.

What is unchanged is reused, so a run with nothing new takes seconds.
"""

import json
import os
from pathlib import Path

import dagster as dg

from assets.recipe_resource import RecipeResource

whole_chain = dg.define_asset_job(
    "whole_chain", selection=dg.AssetSelection.all(), description="Everything, from the raw archives to the report."
)

nightly = dg.ScheduleDefinition(
    name="nightly",
    job=whole_chain,
    cron_schedule=os.environ.get("BDD_SCHEDULE", "0 2 * * *"),
    description="The whole chain at 02:00 (another time: BDD_SCHEDULE, a cron expression). Off until switched on.",
)


@dg.sensor(job=whole_chain, minimum_interval_seconds=60)
def sources_changed(context: dg.SensorEvaluationContext, recipe: RecipeResource) -> dg.SensorResult | dg.SkipReason:
    """Run the whole chain when the recipe file, or a file or folder among its sources, has changed."""
    now = json.dumps(_stamps(recipe), sort_keys=True)
    if context.cursor is None:
        context.update_cursor(now)
        return dg.SkipReason("watching from now on")
    if context.cursor == now:
        return dg.SkipReason("neither the recipe nor a source has changed")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=now)], cursor=now)


def _stamps(recipe: RecipeResource) -> dict[str, list[int]]:
    """Return size and modification time of the recipe file and of every local source, by path."""
    chosen = recipe.load()
    paths = [Path(recipe.path()), *(Path(entry) for entry in (*chosen.source.images, *chosen.source.labels))]
    stamps = {}
    for path in paths:
        if path.exists():
            facts = path.stat()
            stamps[str(path)] = [facts.st_size, facts.st_mtime_ns]
    return stamps
