"""The recipe as a Dagster resource: one file and a few changes serve every selection of assets."""

import os
from typing import Any

import dagster as dg
from pydantic import Field

from pipeline import recipe
from pipeline.errors import RecipeError


class RecipeResource(dg.ConfigurableResource[recipe.Recipe]):
    """The recipe that the chain follows."""

    file: str = Field(
        default="", description="Recipe file; empty: the environment variable BDD_RECIPE, else recipes/sample.yaml."
    )
    set: dict[str, Any] = Field(
        default={}, description='Changes by dotted key, text as YAML, e.g. {"training.learning_rate": "0.002"}.'
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Refuse a recipe that has a fault before any step starts, with its sentence in the run's log."""
        try:
            self.load()
        except dg.Failure as fault:
            if context.log:
                context.log.error(fault.description)
            raise

    def load(self) -> recipe.Recipe:
        """Return the recipe; raises dagster.Failure with one sentence a fault."""
        try:
            return recipe.load(self.path(), self.set)
        except RecipeError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None

    def path(self) -> str:
        """Return the recipe file in use."""
        return self.file or os.environ.get("BDD_RECIPE") or str(recipe.RECIPES / "sample.yaml")
