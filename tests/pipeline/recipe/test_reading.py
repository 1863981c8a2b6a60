"""A recipe's text: what is a number, what is JSON, and where relative paths count from."""

import json
import os
from pathlib import Path

import pytest
import yaml

from pipeline import recipe
from pipeline.errors import RecipeError
from pipeline.recipe.reading import Dumper

FINE = {
    "labels": {"categories": ["🚗 car", "naïve", "1e-05", "no", "2020-01-01"]},
    "source": {"images": ["/data/🚗 pictures"]},
    "training": {"config": {"IMAGE_MIN_SCALE": 0.00001, "WEIGHT": None}},
}


@pytest.mark.parametrize("number", ["1e-05", "1.0e-05", "1e-5", "+1E-5", "0.00001", "1.e-5"])
def test_a_number_is_a_number_however_it_is_written(number):
    assert recipe.read(f"a: {number}") == {"a": 1e-05}
    assert recipe.load(changes={"training.config": f"{{IMAGE_MIN_SCALE: {number}}}"}).training.config == {
        "IMAGE_MIN_SCALE": 1e-05
    }


@pytest.mark.parametrize("text", ["1e", "e5", "1e5x", "'1e5'"])
def test_a_text_stays_a_text(text):
    assert isinstance(recipe.read(text), str)


@pytest.mark.parametrize(
    ("name", "write"), [("r.json", json.dumps), ("r.yaml", lambda content: yaml.dump(content, Dumper=Dumper))]
)
def test_what_is_written_is_read_back_whatever_its_characters_and_numbers(name, write, tmp_path):
    (tmp_path / name).write_text(write(FINE))
    assert recipe.read_file(tmp_path / name) == FINE


def test_a_recipe_that_is_not_json_is_one_sentence(tmp_path):
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(RecipeError, match=r"r\.json: the recipe is not JSON: .*line 1"):
        recipe.load(tmp_path / "r.json")


def test_relative_paths_count_from_the_recipe_s_file_and_those_of_changes_from_here(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setenv("HOME", "/home/me")
    entries = ["sample", "a", "../b.zip", "/c", "~/d", "https://example.org/e.zip"]
    content = {"source": {"images": entries}, "training": {"weights": "w.h5"}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    read = recipe.load(Path("../r.yaml"), {"source.labels": "[x.json]"})
    top = tmp_path.parent
    assert read.source.images == [
        "sample", f"{tmp_path}/a", f"{top}/b.zip", "/c", "/home/me/d", "https://example.org/e.zip",
    ]  # fmt: skip
    assert read.source.labels == [f"{tmp_path}/mine/x.json"]
    assert read.training.weights == f"{tmp_path}/w.h5"
    assert recipe.load("../r.yaml", {"training.weights": "none"}).training.weights == "none"


@pytest.mark.parametrize("doubled", ["[*x{0}, *x{0}]", "{{<<: [*x{0}, *x{0}]}}"])
def test_aliases_that_stand_for_billions_of_values_are_refused_at_once(doubled, tmp_path):
    lines = ["x0: &x0 {a: 1}", *(f"x{at + 1}: &x{at + 1} {doubled.format(at)}" for at in range(40))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(RecipeError, match=r"bomb\.yaml: the recipe is not YAML: with its aliases .* over 50,000"):
        recipe.load(tmp_path / "bomb.yaml")
    with pytest.raises(RecipeError, match="with its aliases"):
        recipe.load(changes={"training.config": "&a {b: *a}"})


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_recipe_is_a_file_of_a_recipe_s_length(make, tmp_path):
    make(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match=r"r\.yaml: the recipe can't be read: it is no file"):
        recipe.load(tmp_path / "r.yaml")
    (tmp_path / "long.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(RecipeError, match=r"long\.yaml: the recipe can't be read: it has over 1,048,576 bytes"):
        recipe.load(tmp_path / "long.yaml")
