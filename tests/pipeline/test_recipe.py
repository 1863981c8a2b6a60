"""The recipe: what it accepts, and what it says of what it doesn't."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import recipe
from pipeline.errors import RecipeError

RECIPES = sorted(recipe.RECIPES.glob("*.yaml"))


def faults(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as error:
        recipe.load(file)
    return error.value.faults


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.name)
def test_every_recipe_of_the_project_is_valid(file):
    assert recipe.load(file).name


def test_an_unknown_key_is_named(tmp_path):
    assert faults("training: {learning_rat: 0.1}", tmp_path) == [
        f"{tmp_path / 'r.yaml'}: training.learning_rat: unknown key"
    ]


def test_every_fault_has_a_sentence_of_its_own(tmp_path):
    said = faults("training: {learning_rate: -1, batch_size: many}\ndataset: {split: alphabetical}", tmp_path)
    assert [sentence.split(": ")[1] for sentence in said] == [
        "dataset.split",
        "training.batch_size",
        "training.learning_rate",
    ]
    assert "found -1" in said[2]


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "training: 3", "seed: .nan", "labels: {least_area: .inf}"])
def test_what_is_no_recipe_is_refused(text, tmp_path):
    assert faults(text, tmp_path)


def test_fractions_that_leave_nothing_for_train_are_refused(tmp_path):
    assert "nothing for train" in faults("dataset: {val_fraction: 0.6, test_fraction: 0.5}", tmp_path)[0]


def test_changes_are_read_as_yaml_and_override_the_file(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("training: {learning_rate: 0.1}")
    changed = recipe.load(file, {"training.learning_rate": "0.002", "labels.categories": "[car]", "seed": "7"})
    assert (changed.training.learning_rate, changed.labels.categories, changed.seed) == (0.002, ["car"], 7)


def test_a_change_inside_a_value_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="seed is a value"):
        recipe.load(recipe.RECIPES / "sample.yaml", {"seed.x": "1"})


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"absent\.yaml.*No such file"):
        recipe.load(tmp_path / "absent.yaml")


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.recipe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def test_check_prints_the_faults_and_nothing_else(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("trainin: {}\nseed: -1\n")
    done = program("check", str(file))
    assert done.returncode == 2
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{file}: seed: input should be greater than or equal to 0 (found -1)",
        f"{file}: trainin: unknown key",
    ]


def test_check_of_a_good_recipe_prints_nothing():
    done = program("check", BDD_RECIPE=str(recipe.RECIPES / "sample.yaml"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_show_prints_is_the_same_recipe(tmp_path):
    done = program("show", str(recipe.RECIPES / "sample.yaml"))
    (tmp_path / "shown.yaml").write_text(done.stdout)
    assert recipe.load(tmp_path / "shown.yaml") == recipe.load(recipe.RECIPES / "sample.yaml")


def test_the_default_class_is_one_of_the_categories() -> None:
    assert recipe.parse({"labels": {"categories": ["bike"], "default_class": "bicycle"}}).labels.default_class
    assert recipe.parse({"labels": {"categories": [], "default_class": "kudzu"}}).labels.default_class == "kudzu"
    with pytest.raises(RecipeError, match="labels: default_class 'kudzu' is none of the categories"):
        recipe.parse({"labels": {"default_class": "kudzu"}})
