"""Passes artifacts between assets: references by fingerprint, never pixels."""

from collections.abc import Iterator

import dagster as dg

from assets.history import alive
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import Artifact, Store
from pipeline.errors import PipelineError
from pipeline.stages import STAGES

DATA_VERSION_TAG = "dagster/data_version"
"""Dagster's tag for a materialisation's data version."""


class ArtifactIOManager(dg.IOManager):
    """Hands an asset the artifact that this run made or reused; in a partial run, that of its recipe and sources."""

    def __init__(self, recipe: RecipeResource) -> None:
        self.recipe = recipe

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Do nothing: the artifact is in the store already, and its fingerprint is the asset's data version."""

    def load_input(self, context: dg.InputContext) -> Artifact:
        """Return the upstream artifact; raises dagster.Failure, saying what to materialise, where there is none."""
        stage = STAGES[context.asset_key.path[-1]]
        store = Store()
        fingerprint = _made_in_this_run(context)
        if fingerprint is not None:
            return Artifact(stage.name, fingerprint, store.folder(stage, fingerprint))
        try:
            return store.matching(stage, self.recipe.load())
        except PipelineError as fault:
            raise dg.Failure(description=str(fault), allow_retries=False) from None


@dg.io_manager(  # type: ignore[arg-type]  # Dagster's types leave out generators
    required_resource_keys={"recipe"}, description="Artifacts by reference, by the run's own recipe."
)
def artifact_io_manager(context: dg.InitResourceContext) -> Iterator[ArtifactIOManager]:
    """Yield the IO manager with the recipe that the run is configured with, for as long as the run is executed."""
    assert context.instance is not None
    assert context.run_id is not None
    with alive.executed(context.instance, context.run_id):
        yield ArtifactIOManager(context.resources.recipe)


def _made_in_this_run(context: dg.InputContext) -> str | None:
    """Return the upstream's data version if this very run materialised it, whatever other runs did since; else None."""
    run = context.step_context.run_id
    found = context.instance.get_records_for_run(run, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    made = [record.asset_materialization for record in found if record.asset_key == context.asset_key]
    return (made[-1].tags or {}).get(DATA_VERSION_TAG) if made and made[-1] else None
