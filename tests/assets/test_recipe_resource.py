"""The recipe as a run's configuration: the same recipe comes back, whatever became of the file."""

from pathlib import Path

import dagster as dg
import pytest

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
