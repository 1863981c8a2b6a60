"""When the chain runs by itself: a job of all assets, every night, or when the recipe or a source changed.

What is unchanged is reused, so a run with nothing new takes seconds.
"""

import json
import os

import dagster as dg

from assets.recipe_resource import RecipeResource
from pipeline.errors import SourceError
from pipeline.recipe.source_entry import Source, parse
from pipeline.sources import walking

whole_chain = dg.define_asset_job(
    "whole_chain", selection=dg.AssetSelection.all(), description="Everything, from the raw archives to the report."
)


@dg.schedule(
    job=whole_chain,
    cron_schedule=os.environ.get("BDD_SCHEDULE", "0 2 * * *"),
    description="The whole chain at 02:00 (another time: BDD_SCHEDULE, a cron expression). Off until switched on.",
)
def nightly(recipe: RecipeResource) -> dg.RunRequest:
    """Run the whole chain with the recipe as it is now."""
    return dg.RunRequest(run_config=recipe.run_config())


@dg.sensor(job=whole_chain, minimum_interval_seconds=60)
def sources_changed(context: dg.SensorEvaluationContext, recipe: RecipeResource) -> dg.SensorResult | dg.SkipReason:
    """Run the whole chain when the recipe file, or a file among its sources or in their folders, has changed."""
    now = json.dumps(_stamps(recipe), sort_keys=True)
    if context.cursor is None:
        context.update_cursor(now)
        return dg.SkipReason("watching from now on")
    if context.cursor == now:
        return dg.SkipReason("neither the recipe nor a source has changed")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=now, run_config=recipe.run_config())], cursor=now)


def _stamps(resource: RecipeResource) -> dict[str, str | None]:
    """Return the stamps of the recipe file and every local source; those of absent ones are None."""
    recipe = resource.load()
    given: dict[walking.Role, list[str]] = {"images": recipe.source.images, "labels": recipe.source.labels}
    stamps = {"recipe": walking.stamp(Source(resource.path(), "recipe", "path", resource.path()), "labels")}
    try:
        for role, entries in given.items():
            stamps |= {f"{role}: {entry}": walking.stamp(parse(entry, f"source.{role}"), role) for entry in entries}
    except SourceError as fault:
        raise dg.Failure(description=str(fault), allow_retries=False) from None
    return stamps
