"""The recipe as a run's configuration: the same recipe comes back, whatever became of the file."""

import json
import traceback
from pathlib import Path

import dagster as dg
import pytest

from assets import defs
from assets.recipe_resource import RecipeResource
from pipeline import recipe

RECIPES = sorted(recipe.RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=[path.stem for path in RECIPES])
def test_the_configuration_of_a_run_holds_the_whole_recipe(file):
    given = RecipeResource(file=str(file), set={"labels.categories": "[🚗, 'no']", "training.learning_rate": "1e-5"})
    config = given.run_config()["resources"]["recipe"]["config"]
    assert RecipeResource(**config).tags() == given.tags()
    assert RecipeResource(**config | {"file": "/gone.yaml"}).load() == given.load()


def test_two_recipes_of_one_name_have_different_fingerprints():
    first, other = (RecipeResource(set={"seed": seed}).tags()["recipe_fingerprint"] for seed in ("1", "2"))
    assert first != other


def test_a_recipe_with_a_fault_is_left_to_the_run(tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("sed: 7")
    config = RecipeResource(file=f"{tmp_path}/bad.yaml").run_config()["resources"]["recipe"]["config"]
    assert config == {"file": f"{tmp_path}/bad.yaml", "set": {}}
    with pytest.raises(dg.Failure, match=r"bad\.yaml: sed: unknown key"):
        RecipeResource(**config).load()


@pytest.mark.parametrize("given", [{"file": {"env": "BDD_HOSTILE"}}, {"set": {"name": {"env": "BDD_HOSTILE"}}}])
def test_a_run_s_configuration_reads_no_variable_of_the_environment(given, monkeypatch):
    monkeypatch.setenv("BDD_HOSTILE", "tok3n")
    config = {"resources": {"recipe": {"config": given}}}
    with pytest.raises((dg.DagsterError, dg.Failure)) as fault:
        defs.resolve_job_def("whole_chain").execute_in_process(run_config=config)
    assert "tok3n" not in "".join(traceback.format_exception(fault.value))


def test_a_secret_in_a_run_s_configuration_is_refused_without_being_shown():
    resource = RecipeResource(set={"source.images": "[https://me:tok3n@h/a.zip]"})
    assert "tok3n" not in resource.label() + json.dumps(resource.run_config()) + str(resource.tags())
    with pytest.raises(dg.Failure, match="the recipe's file") as fault:
        resource.setup_for_execution(dg.build_init_resource_context())
    assert "tok3n" not in str(fault.value.description)
