"""Everything that Dagster loads, put together; `build_definitions` takes other resources for tests."""

from typing import Any

import dagster as dg

from assets import alerts, automation, chain
from assets.artifact_io import artifact_io_manager
from assets.console import console_logger
from assets.history import pruning
from assets.recipe_resource import RecipeResource


def build_definitions(**resources: Any) -> dg.Definitions:
    """Return the chain's definitions; keyword arguments replace resources by name."""
    return dg.Definitions(
        assets=chain.ASSETS,
        jobs=[*automation.JOBS, pruning.prune_artifacts],
        schedules=[automation.nightly, automation.daily_prune],
        sensors=[automation.sources_changed, automation.pictures_arrived, *alerts.SENSORS],
        resources={"recipe": RecipeResource(), "io_manager": artifact_io_manager} | resources,
        loggers={"console": console_logger},
        executor=dg.in_process_executor,
    )


defs = build_definitions()
