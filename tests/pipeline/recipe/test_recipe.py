"""The recipe: what it accepts, and what it says of what it doesn't."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrcnn.config import Config
from pipeline import recipe
from pipeline.errors import RecipeError
from pipeline.recipe import Recipe, network
from pipeline.recipe.__main__ import main, schema
from pipeline.recipe.faults import keys, section_in
from pipeline.training import model_file

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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training: {learning_rat: 0.1}", "training.learning_rat: unknown key; did you mean learning_rate?"),
        ("trainin: {}", "trainin: unknown key; did you mean training?"),
        ("learning_rate: 1", "learning_rate: unknown key; did you mean training.learning_rate?"),
        ("labels: {limit: 3}", "labels.limit: unknown key; did you mean dataset.limit or evaluation.limit?"),
        ("training: {colour: {hue: 1}}", "training.colour: unknown key; did you mean training.augmentation.colour?"),
        ("labels: {xyz: 3}", "labels.xyz: unknown key"),
        ("training: {config: {POOL_SISE: 7}}",
         "training.config: POOL_SISE: mrcnn.config.Config has no such setting; did you mean POOL_SIZE?"),
        ("training: {stages: [{layer: all, epochs: 1}]}", "training.stages.0.layer: unknown key; did you mean layers?"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_and_what_may_be_meant(text, words, tmp_path):
    assert faults(text, tmp_path) == [f"{tmp_path / 'r.yaml'}: {words}"]


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: 2020-13-45", "month must be in 1..12"),
        ("seed: !!bool perhaps", "perhaps"),
        ("training: " + "[" * 5000, "recursion"),
        ("seed: 1\nname: a\nseed: 2", "the key seed is given twice (line 3)"),
        ("training:\n  stages:\n  - epochs: 1\n    epochs: 2", "the key epochs is given twice (line 4)"),
    ],
)
def test_yaml_that_can_t_be_read_is_one_sentence(text, words, tmp_path):
    (said,) = faults(text, tmp_path)
    assert said.startswith(f"{tmp_path / 'r.yaml'}: the recipe is not YAML: ")
    assert words in said


def test_a_key_may_override_one_that_is_merged_in():
    merged = recipe.read("a: {b: &b {x: 1, y: 1}}\nc: {d: &d {<<: *b, x: 2}}\ne: {<<: *d, y: 3}")
    assert merged["c"] == {"d": {"x": 2, "y": 1}}
    assert merged["e"] == {"x": 2, "y": 3}


@pytest.mark.parametrize("value", ["[1", "{a: 1, a: 2}"])
def test_a_change_that_is_not_yaml_is_a_fault_of_its_key(value):
    with pytest.raises(RecipeError, match=r"^set training\.stages: .* is not YAML: .*\(line 1\)$"):
        recipe.load(recipe.RECIPES / "sample.yaml", {"training.stages": value})


@pytest.mark.parametrize("layers", ["heads", "3+", "4+", "5+", "all", r"(mrcnn\_.*)|(res5.*)"])
def test_layers_are_a_name_or_a_regular_expression(layers):
    assert recipe.parse({"training": {"stages": [{"layers": layers, "epochs": 1}]}}).training.stages[0].layers == layers


IMPOSSIBLE = [
    ({"stages": [{"layers": "(", "epochs": 1}]}, "training.stages.0.layers: neither heads, 3+, 4+, 5+, all nor"),
    ({"stages": [{"layers": "a{99999999999}", "epochs": 1}]}, "training.stages.0.layers: neither heads"),
    ({"stages": [{"layers": "(?!x).*", "epochs": 1}]}, "training.stages.0.layers: neither heads"),
    ({"validation_steps": 10**9}, "training.validation_steps: input should be less than"),
    ({"config": {"NAME": "x"}}, "training.config: NAME is set by the recipe's own key name"),
    ({"config": {"IMAGE_SHAPE": [8, 8, 3]}}, "training.config: IMAGE_SHAPE is set by the recipe's own key"),
    ({"config": {"POOL_SISE": 7}}, "training.config: POOL_SISE: mrcnn.config.Config has no such setting"),
    ({"config": {"display": 7}}, "training.config: display: mrcnn.config.Config has no such setting"),
    ({"config": {"POOL_SIZE": 7.5}}, "training.config: POOL_SIZE: input should be a valid integer"),
    ({"config": {"FAST_DECODE": 1}}, "training.config: FAST_DECODE: input should be a valid boolean"),
    ({"config": {"MEAN_PIXEL": [1, 2]}}, "training.config: MEAN_PIXEL[2]: field required"),
    ({"config": {"RPN_ANCHOR_SCALES": ["a"]}}, "training.config: RPN_ANCHOR_SCALES[0]: input should be a valid number"),
    ({"config": {"RPN_ANCHOR_SCALES": [8, 16]}}, "training.config: RPN_ANCHOR_SCALES is [8, 16]; it must be one for"),
    ({"config": {"LOSS_WEIGHTS": {"mask": 2}}}, "training.config: LOSS_WEIGHTS: unknown key mask"),
    ({"config": {"ROI_POSITIVE_RATIO": 3}}, "training.config: ROI_POSITIVE_RATIO is 3; it must be above 0 and at most"),
    ({"min_dim": 1088, "max_dim": 1024}, "training: min_dim 1088 is more than max_dim 1024"),
    (
        {"resize": "square", "max_dim": 1000},
        "training: resize square needs a max_dim that is a multiple of 32, not 1000",
    ),
    ({"keep": "best", "validate_every": 0}, "training: keep best goes by validations: set validate_every to 1 or more"),
    ({"early_stopping": 3, "validate_every": 0}, "training: early_stopping goes by validations: set validate_every to"),
    ({"resize": "crop", "min_dim": 500}, "training: resize crop needs a min_dim that is a multiple of 32, not 500"),
]


@pytest.mark.parametrize(("training", "words"), IMPOSSIBLE)
def test_what_no_network_can_have_is_refused_before_anything_is_built(training, words):
    with pytest.raises(RecipeError) as error:
        recipe.parse({"training": training})
    (said,) = error.value.faults
    assert said.startswith(f"recipe: {words}")


@pytest.mark.parametrize(
    "training",
    [
        {"config": {"RPN_ANCHOR_SCALES": [16, 32, 64, 128, 256], "MEAN_PIXEL": [1, 2, 3.5], "TRAIN_BN": None}},
        {"config": {"LOSS_WEIGHTS": {"mrcnn_mask_loss": 2}, "GRADIENT_CLIP_NORM": 5, "NORMALISATION": "group"}},
        {"config": {"GRADIENT_CLIP_NORM": None}},
        {"resize": "crop", "min_dim": 1088},
        {"resize": "pad64", "min_dim": 1100, "max_dim": 1024, "config": {"IMAGE_PAD_BOUNDED": False}},
        {"max_dim": 512},
        {"resize": "pad64", "max_dim": 1000},
    ],
)
def test_what_a_network_can_have_is_a_recipe(training):
    assert recipe.parse({"training": training})


def test_every_setting_is_the_recipe_s_own_or_has_its_default_s_type():
    defaults = {name: getattr(Config, name) for name in dir(Config) if name.isupper()}
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in defaults.items()}
    free = {name: value for name, value in plain.items() if name not in network.SET_BY}
    assert network.faults(free, "resnet101") == []


def test_the_keys_that_settings_follow_from_are_keys_of_the_recipe():
    for key in set(network.SET_BY.values()):
        content = recipe.parse({}).model_dump()
        for part in key.split("."):
            content = content[part]


def test_a_setting_that_a_key_of_the_recipe_decides_is_not_left_to_config():
    assert set(model_file.DERIVED) <= set(network.SET_BY)


@pytest.mark.parametrize("name", ["", "  "])
def test_a_category_without_a_name_is_refused(name):
    with pytest.raises(RecipeError, match=r"labels\.categories\.1: a category needs a name"):
        recipe.parse({"labels": {"categories": ["car", name]}})


def test_a_source_of_no_kind_that_we_read_is_a_fault_of_its_place_in_the_list():
    entries = ["sample", "ftp://example.org/a.zip", "http://[x/a.zip", "gdrive:??", "absent.zip"]
    with pytest.raises(RecipeError) as error:
        recipe.parse({"source": {"images": entries, "labels": [""]}})
    assert [sentence.split(" (")[0].split(";")[0] for sentence in error.value.faults] == [
        "recipe: source.images.1: 'ftp://example.org/a.zip' is no source that we read: "
        "give sample, a file, folder or zip, https://… or gdrive:<id>",
        "recipe: source.images.2: 'http://[x/a.zip' is no address",
        "recipe: source.images.3: 'gdrive:??' names no Drive file: "
        "share a single file and give its link, or gdrive:<id>",
        "recipe: source.labels.0: '' is no source that we read: "
        "give sample, a file, folder or zip, https://… or gdrive:<id>",
    ]


def test_a_value_of_any_size_is_named_in_a_short_sentence():
    with pytest.raises(RecipeError) as error:
        recipe.parse({"name": ["x" * 10_000] * 1000})
    assert len(str(error.value)) < 2000


def test_fractions_that_leave_nothing_for_train_are_refused(tmp_path):
    assert "nothing for train" in faults("dataset: {val_fraction: 0.6, test_fraction: 0.5}", tmp_path)[0]


@pytest.mark.parametrize("dataset", [{"split": "all_in_both", "test_fraction": 0.1}, {"split": "hash"}])
def test_a_split_to_judge_on_that_can_t_be_is_refused(dataset):
    with pytest.raises(RecipeError, match=r"^recipe: evaluation\.split: dataset\.split .* makes no test split: set "):
        recipe.parse({"dataset": dataset, "evaluation": {"split": "test"}})


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
        f"{file}: trainin: unknown key; did you mean training?",
    ]


def test_check_of_a_good_recipe_says_what_it_asks_for():
    done = program("check", BDD_RECIPE=str(recipe.RECIPES / "sample.yaml"))
    fine = "fine: 4 classes, 14 epochs of 55 steps, 4 images a step, narrow from random weights, judged on val\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, fine, "")


def test_check_names_all_that_is_absent_or_can_t_be_meant_together_and_hints_at_what_is_odd(tmp_path):
    content = """
        source: {images: [a.zip, https://example.org/b.zip, ., b.tar.gz], labels: [sample, c.json, .]}
        labels: {categories: [car, trafic sign, Swan, pedestrians]}
        training: {backbone: narrow, weights: coco}
    """
    (tmp_path / "r.yaml").write_text(content)
    (tmp_path / "b.tar.gz").write_bytes(b"")
    done = program("check", str(tmp_path / "r.yaml"))
    assert (done.returncode, done.stderr) == (2, "")
    assert [re.split(r": check the path|; name each zip| \(\.", line)[0] for line in done.stdout.splitlines()] == [
        "hint: labels.categories: 'trafic sign' is no category of BDD's; did you mean traffic sign?",
        "hint: labels.categories: 'pedestrians' is no category of BDD's; did you mean pedestrian?",
        f"source.images: {tmp_path}/a.zip does not exist",
        f"source.images: {tmp_path} holds no image",
        f"source.images: {tmp_path}/b.tar.gz holds no image",
        f"source.labels: {tmp_path}/c.json does not exist",
        f"source.labels: {tmp_path} holds no label file",
        "training.weights: there are none of coco for backbone narrow: set weights to none",
    ]


def test_check_of_weights_that_are_no_file_says_which_name_may_be_meant(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text("training: {weights: coko}")
    assert main(["check", str(tmp_path / "r.yaml")]) == 2
    assert capsys.readouterr().out.endswith("coko is neither none, imagenet, coco nor a file; did you mean coco?\n")


def test_the_schema_beside_the_recipes_is_that_of_the_recipe_and_they_point_to_it():
    written = (recipe.RECIPES / "recipe.schema.json").read_text("utf-8")
    assert written == schema(), "write it anew: python -m pipeline.recipe schema > recipes/recipe.schema.json"
    for file in RECIPES:
        assert file.read_text("utf-8").startswith("# yaml-language-server: $schema=recipe.schema.json\n")


def test_what_show_prints_is_the_same_recipe(tmp_path):
    done = program("show", str(recipe.RECIPES / "sample.yaml"))
    (tmp_path / "shown.yaml").write_text(done.stdout)
    assert recipe.load(tmp_path / "shown.yaml") == recipe.load(recipe.RECIPES / "sample.yaml")
    assert "\n  # Peak learning rate.\n  learning_rate: 0.003\n" in done.stdout


def test_every_key_has_a_meaning_that_show_and_the_schema_give():
    assert [key for key, field in keys(Recipe) if not (field.description or section_in(field))] == []


def test_the_default_class_is_one_of_the_categories() -> None:
    assert recipe.parse({"labels": {"categories": ["bike"], "default_class": "bicycle"}}).labels.default_class
    assert recipe.parse({"labels": {"categories": [], "default_class": "kudzu"}}).labels.default_class == "kudzu"
    with pytest.raises(RecipeError, match="labels: default_class 'kudzu' is none of the categories"):
        recipe.parse({"labels": {"default_class": "kudzu"}})


def test_labels_are_renamed_to_one_of_the_categories() -> None:
    rename = {"Cars": "car", "push bike": "bicycle"}
    assert recipe.parse({"labels": {"categories": ["car", "bike"], "rename": rename}}).labels.rename == rename
    with pytest.raises(RecipeError, match="rename: 'Cars' becomes 'auto', which is none of the categories"):
        recipe.parse({"labels": {"rename": {"Cars": "auto"}}})
