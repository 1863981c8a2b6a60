"""The recipe as a Dagster resource: one file and a few changes serve every selection of assets."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr, field_validator

from pipeline import recipe
from pipeline.errors import RecipeError
from pipeline.files.atomic import canonical_json
from pipeline.recipe.sections import WHERE_SECRETS_STAND
from pipeline.secrets import redacted


class RecipeResource(dg.ConfigurableResource[recipe.Recipe]):
    """The recipe that the chain follows, read once in a run."""

    # Not str, for which Dagster takes {"env": NAME}, too: a run from the UI must not read the environment.
    file: Any = Field(
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

    @field_validator("file")
    @classmethod
    def _is_text(cls, file: Any) -> str:
        if not isinstance(file, str):
            raise ValueError(f"a recipe file is given by its path, not as {file}")
        return file

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Refuse a recipe that has a fault before any step starts, with its sentence in the run's log."""
        try:
            self._refuse_secrets()
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

    def _refuse_secrets(self) -> None:
        given = json.dumps([self.set, self.content])
        if redacted(given) != given:
            kept = "the run's configuration, which Dagster has kept in its history, has an address with a secret"
            raise dg.Failure(description=f"{kept}: {WHERE_SECRETS_STAND}; change the secret", allow_retries=False)

    def tags(self) -> dict[str, str]:
        """Return what a run is tagged with: the recipe's name, its file, and a digest of all its keys."""
        loaded = self.load()
        digest = hashlib.sha256(canonical_json(loaded.model_dump(mode="json")).encode()).hexdigest()
        return {"recipe": loaded.name, "recipe_file": str(self._file()), "recipe_fingerprint": digest[:8]}

    def label(self) -> str:
        """Return one line that tells which recipe it is: name, fingerprint, file, changes."""
        tags = self.tags()
        changes = redacted("".join(f", {key}={value}" for key, value in self.set.items()))
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
            config["set"] = json.loads(redacted(json.dumps(self.set)))
        return {"resources": {"recipe": {"config": config}}}

    def _file(self) -> Path:
        return Path(self.path()).expanduser().absolute()
