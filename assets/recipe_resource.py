"""The recipe as a Dagster resource: one file and a few changes serve every selection of assets."""

import hashlib
import os
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from pipeline import recipe
from pipeline.errors import RecipeError
from pipeline.files.atomic import canonical_json


class RecipeResource(dg.ConfigurableResource[recipe.Recipe]):
    """The recipe that the chain follows, read once in a run."""

    file: str = Field(
        default="", description="Recipe file; empty: the environment variable BDD_RECIPE, else recipes/sample.yaml."
    )
    content: dict[str, Any] = Field(
        default={},
        description="The recipe's sections as they were when the run was asked for. They go before the file, so that a "
        "run that is executed again follows the same recipe.",
    )
    set: dict[str, Any] = Field(
        default={}, description='Changes by dotted key, text as YAML, e.g. {"training.learning_rate": "0.002"}.'
    )
    _loaded: recipe.Recipe | None = PrivateAttr(default=None)

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
        if self._loaded is None:
            try:
                self._loaded = recipe.load(self.path(), self.set, self.content)
            except RecipeError as error:
                raise dg.Failure(description=str(error), allow_retries=False) from None
        return self._loaded

    def tags(self) -> dict[str, str]:
        """Return what a run is tagged with: the recipe's name, its file, and a digest of all its keys."""
        loaded = self.load()
        digest = hashlib.sha256(canonical_json(loaded.model_dump(mode="json")).encode()).hexdigest()
        return {"recipe": loaded.name, "recipe_file": str(self._file()), "recipe_fingerprint": digest[:8]}

    def label(self) -> str:
        """Return one line that tells which recipe it is: name, fingerprint, file, changes."""
        tags = self.tags()
        changes = "".join(f", {key}={value}" for key, value in self.set.items())
        return f"{tags['recipe']} {tags['recipe_fingerprint']} ({tags['recipe_file']}{changes})"

    def path(self) -> str:
        """Return the recipe file in use."""
        return self.file or os.environ.get("BDD_RECIPE") or str(recipe.RECIPES / "sample.yaml")

    def run_config(self) -> dict[str, Any]:
        """Return the configuration of a run that follows this recipe, also when the file has changed or is gone.

        Its content has the changes of `set`. A recipe with a fault is left to the run, which says what is wrong.
        """
        config: dict[str, Any] = {"file": str(self._file())}
        try:
            config["content"] = self.load().model_dump(mode="json", exclude_unset=True)
        except dg.Failure:
            config["set"] = dict(self.set)
        return {"resources": {"recipe": {"config": config}}}

    def _file(self) -> Path:
        return Path(self.path()).expanduser().absolute()
