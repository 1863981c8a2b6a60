"""The assets, one for each stage of `pipeline.stages`."""

import os
import sys
from datetime import timedelta

import dagster as dg

from assets.building import materialise
from assets.keys import PREFIX, key_of
from assets.metadata import check_specs
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import Artifact
from pipeline.stages import STAGES, Stage

OWNERS = [owner.strip() for owner in os.environ.get("BDD_OWNERS", "").split(",") if owner.strip()]
"""Who is asked about the assets: mail addresses, and teams as `team:name`."""


def freshness() -> dg.FreshnessPolicy | None:
    """Return after how long an asset that no run has made or reused is overdue, of BDD_FRESH_HOURS; None without it.

    Exits with one sentence where it is no number: it is asked while Dagster imports the assets.
    """
    hours = os.environ.get("BDD_FRESH_HOURS", "")
    if not hours:
        return None
    try:
        window = timedelta(hours=float(hours))
    except (ValueError, OverflowError):
        window = timedelta()
    if window < timedelta(minutes=1):  # what Dagster takes
        sys.exit(f"BDD_FRESH_HOURS={hours!r} is no number of hours such as 30")
    return dg.FreshnessPolicy.time_window(fail_window=window)


FRESHNESS = freshness()
Result = dg.MaterializeResult
ARTIFACT = dg.PythonObjectDagsterType(Artifact, "Artifact", description="A finished result of a stage, by reference.")


def asset_of(stage: Stage) -> dg.AssetsDefinition:
    """Return the asset that a stage makes."""

    @dg.asset(
        name=stage.name,
        key_prefix=PREFIX,
        ins={name: dg.AssetIn(key_of(name)) for name in stage.inputs},
        dagster_type=ARTIFACT,
        group_name=stage.group,
        kinds=set(stage.kinds),
        description=_description(stage),
        code_version=str(stage.code_version),
        owners=OWNERS,
        freshness_policy=FRESHNESS,
        tags={"gpu": "optional"} if stage.uses_gpu else {},
        check_specs=check_specs(stage),
    )
    def made(context: dg.AssetExecutionContext, recipe: RecipeResource, **inputs: Artifact) -> Result:
        return materialise(context, recipe, **inputs)

    return made


def _description(stage: Stage) -> str:
    """Return the text of the asset's page: what it is, which files it holds, which recipe keys it reads."""
    reads = f" Reads of the recipe: {', '.join(f'`{key}`' for key in stage.reads)}." if stage.reads else ""
    return f"{stage.description}\n\nFiles: {', '.join(f'`{file}`' for file in stage.files)}.{reads}"


ASSETS = [asset_of(stage) for stage in STAGES.values()]
