"""When the chain runs by itself: a job of all assets, every night, or when the recipe or a source changed.

What is unchanged is reused, so a run with nothing new takes seconds.
"""

import json
import os
import sys
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import dagster as dg
from dagster._utils.schedules import is_valid_cron_string

from assets.history.pruning import prune_artifacts
from assets.keys import key_of
from assets.recipe_resource import RecipeResource
from pipeline.errors import SourceError
from pipeline.prediction import KEY
from pipeline.recipe.source_entry import Source, parse
from pipeline.recipe.spelling import did_you_mean
from pipeline.sources import walking
from pipeline.stages import RELEASED

whole_chain = dg.define_asset_job(
    "whole_chain", selection=dg.AssetSelection.all(), description="Everything, from the raw archives to the report."
)


refresh_dataset = dg.define_asset_job(
    "refresh_dataset",
    selection=dg.AssetSelection.assets(key_of("dataset_zip")).upstream(),
    description="The data set, from the sources to images.zip.",
)
retrain = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.assets(*map(key_of, ("trained_model", "evaluation_report", RELEASED))),
    description="The model and its report, on the data set that the recipe made last; released if it is better.",
)
evaluate = dg.define_asset_job(
    "evaluate",
    selection=dg.AssetSelection.assets(key_of("evaluation_report")),
    description="The report of the model that the recipe's last training made.",
)
predict = dg.define_asset_job(
    "predict",
    selection=dg.AssetSelection.assets(key_of("predictions")),
    description="The pictures of prediction.images, by the released model.",
)
JOBS = [whole_chain, refresh_dataset, retrain, evaluate, predict]


def when() -> tuple[str, str]:
    """Return cron expression and time zone of the schedule, of BDD_SCHEDULE and BDD_TIMEZONE.

    Exits with one sentence where one is wrong: it is asked while Dagster imports the assets.
    """
    cron, zone = os.environ.get("BDD_SCHEDULE", "0 2 * * *"), os.environ.get("BDD_TIMEZONE", "UTC")
    if not is_valid_cron_string(cron):
        sys.exit(f"BDD_SCHEDULE={cron!r} is no cron expression: '30 4 * * *' is every day at 04:30")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        sys.exit(f"BDD_TIMEZONE={zone!r} is no time zone{did_you_mean(zone, available_timezones())}")
    return cron, zone


CRON, ZONE = when()


@dg.schedule(
    job=whole_chain,
    cron_schedule=CRON,
    execution_timezone=ZONE,
    description="The whole chain, at 02:00 UTC where BDD_SCHEDULE (a cron expression) and BDD_TIMEZONE (as in "
    "Europe/Berlin) don't say otherwise. Off until switched on.",
)
def nightly(recipe: RecipeResource) -> dg.RunRequest:
    """Run the whole chain with the recipe as it is now."""
    return dg.RunRequest(run_config=recipe.run_config())


@dg.schedule(
    job=prune_artifacts,
    cron_schedule="0 5 * * *",
    execution_timezone=ZONE,
    description="Removes artifacts that nothing needs and runs of long ago, at 05:00. Off until switched on.",
)
def daily_prune() -> dg.RunRequest:
    """Prune."""
    return dg.RunRequest()


@dg.sensor(job=whole_chain, minimum_interval_seconds=60)
def sources_changed(context: dg.SensorEvaluationContext, recipe: RecipeResource) -> dg.SensorResult | dg.SkipReason:
    """Run the whole chain when the recipe file, or a file among its sources or in their folders, has changed."""
    chosen = recipe.load()
    stamps = {"recipe": walking.stamp(Source(recipe.path(), "recipe", "path", recipe.path()), "labels")}
    stamps |= _stamps(chosen.source.images, "images", "source.images")
    stamps |= _stamps(chosen.source.labels, "labels", "source.labels")
    return _run_where_changed(context, recipe, stamps, "neither the recipe nor a source has changed")


@dg.sensor(job=predict, minimum_interval_seconds=60)
def pictures_arrived(context: dg.SensorEvaluationContext, recipe: RecipeResource) -> dg.SensorResult | dg.SkipReason:
    """Predict `prediction.images` when switched on, and when a file among them, or in their folders, is new."""
    entries = recipe.load().prediction.images
    if not entries:
        return dg.SkipReason(f"{KEY} of the recipe names no pictures")
    stamps = _stamps(entries, "images", KEY)
    return _run_where_changed(context, recipe, stamps, "no picture has arrived", at_first=True)


def _run_where_changed(
    context: dg.SensorEvaluationContext,
    recipe: RecipeResource,
    stamps: dict[str, str | None],
    otherwise: str,
    at_first: bool = False,
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run where the stamps are others than when the sensor looked last, or `at_first` for the first look."""
    now = json.dumps(stamps, sort_keys=True)
    if context.cursor is None and not at_first:
        context.update_cursor(now)
        return dg.SkipReason("watching from now on")
    if context.cursor == now:
        return dg.SkipReason(otherwise)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=now, run_config=recipe.run_config())], cursor=now)


def _stamps(entries: Sequence[str], role: walking.Role, key: str) -> dict[str, str | None]:
    """Return the stamp of every local source of a key; those of absent ones are None."""
    try:
        sources = [parse(entry, key) for entry in entries]
        return {f"{role}: {source.entry}": walking.stamp(source, role) for source in sources}
    except SourceError as fault:
        raise dg.Failure(description=str(fault), allow_retries=False) from None
