"""Which artifact an asset is handed: that of its own run, whatever other runs of the same history do meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets import chain
from assets.definitions import build_definitions
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import Artifact
from pipeline.stages import STAGES


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[str, str], set[str]]]:
    """Return what each asset was handed by run, `first` or `other`; `other` runs inside of each step of `first`."""
    handed: dict[tuple[str, str], set[str]] = {}
    with dg.DagsterInstance.ephemeral() as history:

        def run(name: str) -> None:
            resources = dict(build_definitions(recipe=RecipeResource(set={"name": name})).resources)
            dg.materialize(chain.ASSETS, resources=resources, instance=history)

        def make(context: dg.AssetExecutionContext, recipe: RecipeResource, **inputs: Artifact) -> dg.MaterializeResult:
            stage, name = STAGES[context.asset_key.path[-1]], recipe.load().name
            handed[name, stage.name] = {artifact.fingerprint for artifact in inputs.values()}
            if name == "first":
                run("other")
            return dg.MaterializeResult(
                value=Artifact(stage.name, name, Path()),
                data_version=dg.DataVersion(name),
                check_results=[dg.AssetCheckResult(passed=True, check_name=check) for check in stage.checks],
            )

        monkeypatch.setattr(chain, "materialise", make)
        run("first")
        yield handed


def test_each_run_takes_its_own_artifacts_while_another_materialises_the_same_assets(handed):
    assert len(handed) == 2 * len(STAGES)
    for (run, stage), fingerprints in handed.items():
        assert fingerprints == ({run} if STAGES[stage].inputs else set())
