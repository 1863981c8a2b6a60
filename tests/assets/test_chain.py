"""The whole chain through Dagster, on a tiny sample: what is built, what is reused, and why; faults; kill -9."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets import __main__ as assets_program
from assets.chain import ASSETS
from assets.definitions import build_definitions
from assets.recipe_resource import RecipeResource
from pipeline import chain
from pipeline.artifacts import LATEST, Manifest, Store, damage, retention
from pipeline.stages import STAGES
from pipeline.training.weights import CLASS_LAYERS
from tests.assets import tiny
from tests.assets.killed_runs import ROOT, SECONDS, Chain, has_a_state, has_begun
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import jpeg
from tests.pipeline.weights_files import differing, with_81_classes

KEPT = {"released_model", "predictions"}
"""What stays as it was where a new model isn't better."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data folder in which the tiny chain has run once."""
    folder = tmp_path_factory.mktemp("chain")
    tiny.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BDD_DATA_DIR", str(folder / "data"))
        assert cached(materialise(folder)) == dict.fromkeys(STAGES, False)
        yield folder


def materialise(folder: Path, changes: dict[str, str] | None = None, selection: str = "*", fail: bool = False):
    resource = RecipeResource(file=str(folder / "tiny.yaml"), set=changes or {})
    resources = dict(build_definitions(recipe=resource).resources)
    result = dg.materialize(ASSETS, selection=selection, resources=resources, raise_on_error=False)
    assert result.success != fail, [event.message for event in result.all_events if event.is_failure]
    return result


def cached(result) -> dict[str, bool]:
    events = result.get_asset_materialization_events()
    return {event.asset_key.path[-1]: event.materialization.metadata["cached"].value for event in events}


def failures(result) -> list[str]:
    return [
        event.step_failure_data.user_failure_data.description for event in result.all_events if event.is_step_failure
    ]


def manifest(folder: Path, asset: str) -> Manifest:
    return Manifest.read(folder / "data" / asset / LATEST)


def test_what_was_learnt_of_an_address_is_handed_to_the_program_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    tiny.write(tmp_path)
    server = Behaviour(content=jpeg())
    with serving(server) as address:
        materialise(tmp_path, {"source.images": f"[{address}/a.jpg]"}, "raw_images")
    assert len(server.requests) == 2  # one to ask, one to fetch
    assert not (tmp_path / "data/raw_images" / LATEST / ".identities.json").exists()


def test_without_dagster_everything_that_it_made_is_reused(data, caplog, capsys):
    before = {name: manifest(data, name).fingerprint for name in STAGES}
    assert chain.main(["--recipe", str(data / "tiny.yaml"), "--until", "predictions"]) == 0
    assert {name: manifest(data, name).fingerprint for name in STAGES} == before
    assert caplog.text.count("cached: ") == len(STAGES)
    made = data / "data/predictions" / before["predictions"]
    assert capsys.readouterr().out.splitlines()[-1] == f"predictions: {made}"


def test_what_was_made_without_dagster_is_reused_by_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    recipe = str(tiny.write(tmp_path))
    assert chain.main(["--recipe", recipe, "--until", "dataset_zip", "--set", "seed=7"]) == 0
    assert "filtered_labels: check labelled_pictures_kept did not pass" in caplog.text
    assert set(cached(materialise(tmp_path, {"seed": "7"}, "*dataset_zip")).values()) == {True}


def test_without_dagster_a_fault_is_said_in_the_last_line_and_leaves_no_artifact(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    tiny.write_bad_files(tmp_path)
    change = f"source.images=[{tmp_path / 'cut.zip'}]"
    assert chain.main(["--recipe", str(tiny.write(tmp_path)), "--set", change]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(str(tmp_path / "cut.zip"))
    assert not list((tmp_path / "data/raw_images").glob("[0-9a-f]*"))


def test_every_stage_leaves_its_files_and_its_manifest(data):
    for stage in STAGES.values():
        held = manifest(data, stage.name)
        assert set(stage.files) <= set(held.files)
        assert held.reasons == ["first time"]
    assert (data / "data" / "trained_model" / LATEST / "mask_rcnn_tiny.h5").exists()


def test_the_report_names_the_model_and_the_dataset_that_it_belongs_to(data):
    metrics = json.loads((data / "data" / "evaluation_report" / LATEST / "metrics.json").read_text())
    assert metrics["model"] == manifest(data, "trained_model").fingerprint
    assert metrics["dataset"] == manifest(data, "dataset_zip").fingerprint


def test_a_second_run_reuses_every_stage(data):
    assert cached(materialise(data)) == dict.fromkeys(STAGES, True)


def test_the_fingerprint_is_the_data_version(data):
    result = materialise(data)
    for event in result.get_asset_materialization_events():
        asset = event.asset_key.path[-1]
        assert event.materialization.tags["dagster/data_version"] == manifest(data, asset).fingerprint


def test_another_learning_rate_rebuilds_only_the_model_and_the_report(data):
    built = cached(materialise(data, {"training.learning_rate": "0.0005"}))
    assert {asset for asset, reused in built.items() if not reused} == {"trained_model", "evaluation_report"}
    assert manifest(data, "trained_model").reasons == ["recipe key training.learning_rate: 0.001 → 0.0005"]
    assert manifest(data, "evaluation_report").reasons[0].startswith("input trained_model:")


def test_a_category_less_rebuilds_everything_from_the_filtered_labels_on(data):
    materialise(data)
    built = cached(materialise(data, {"labels.categories": "[drivable area, traffic sign, car]"}))
    assert {asset for asset, reused in built.items() if reused} == {"raw_images", "raw_labels", *KEPT}
    assert manifest(data, "filtered_labels").reasons[0].startswith("recipe key labels.categories:")
    for asset in ("via_train", "via_val", "dataset_zip", "trained_model", "evaluation_report"):
        assert manifest(data, asset).reasons[0].startswith("input "), asset
    assert cached(materialise(data)) == dict.fromkeys(STAGES, True)


def test_a_partial_run_uses_what_fits_its_recipe_or_says_what_is_missing(data):
    assert cached(materialise(data, selection="dataset_zip")) == {"dataset_zip": True}
    said = failures(materialise(data, {"seed": "5"}, selection="dataset_zip", fail=True))
    assert len(said) == 1
    assert "materialise" in said[0]


def test_a_partial_run_from_run_config_follows_the_changed_recipe(data):
    changed = {"resources": {"recipe": {"config": {"file": str(data / "tiny.yaml"), "set": {"seed": "5"}}}}}
    job = build_definitions().resolve_job_def("whole_chain")
    result = job.execute_in_process(run_config=changed, asset_selection=[dg.AssetKey("via_val")], raise_on_error=False)
    assert "materialise filtered_labels with it first" in failures(result)[0]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("training.learning_rte", "1", "training.learning_rte: unknown key; did you mean learning_rate?"),
        ("training.learning_rate", -1, "training.learning_rate: input should be greater than 0 (found -1)"),
        ("training.stages", {"epochs": "many"}, "training.stages: input should be a valid list"),
    ],
)
def test_a_fault_of_the_recipe_is_in_the_run_s_log_before_any_step_starts(data, key, value, words):
    config = {"resources": {"recipe": {"config": {"file": str(data / "tiny.yaml"), "set": {key: value}}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions().resolve_job_def("whole_chain")
        result = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        said = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert not result.success
    assert [event.step_key for event in result.all_events if event.is_step_event] == []
    assert f"{data / 'tiny.yaml'}: {words}" in said


def test_the_launchpad_s_changes_may_be_values_of_any_type():
    changes = {"seed": 5, "training.stages": [{"epochs": 3}], "labels.where": {"weather": ["snowy"]}, "name": "x"}
    config = {"resources": {"recipe": {"config": {"file": str(ROOT / "recipes/sample.yaml"), "set": changes}}}}
    assert dg.validate_run_config(build_definitions().resolve_job_def("whole_chain"), config)
    assert RecipeResource(set=changes).load().training.stages[0].epochs == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source.labels": "[/nowhere/labels.zip]"}, "/nowhere/labels.zip"),
        ({"labels.categories": "[unicorn]"}, "unicorn"),
        ({"source.images": "[{folder}/cut.zip]"}, "cut.zip"),
        ({"source.labels": "[{folder}/cut.json]"}, "cut.json"),
        ({"source.labels": "[{folder}/coco.json]"}, "coco.json: holds no labels: it is a COCO file without categories"),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key_or_the_file(data, changes, words):
    tiny.write_bad_files(data)
    changes = {key: value.replace("{folder}", str(data)) for key, value in changes.items()}
    said = failures(materialise(data, changes, fail=True))
    assert words in said[0]
    assert "\n" not in said[0]
    assert not list((data / "data").glob("*/.partial-*"))


def test_a_check_that_the_recipe_lets_block_ends_the_chain_each_time(data, capsys, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(data))
    changes = {"checks": {"labelled_pictures_kept": "block"}}
    for _ in range(2):
        result = materialise(data, changes, "*via_train", fail=True)
        assert set(cached(result)) == {"raw_images", "raw_labels", "filtered_labels"}
    command = ["--recipe", str(data / "tiny.yaml"), "--set", "checks={labelled_pictures_kept: block}"]
    for program in (chain, assets_program):
        assert program.main(command) == 2
        assert "check labelled_pictures_kept did not pass: 7 of 8" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("sources", "words"),
    [({"labels": ["{folder}/cut.json"]}, "cut.json"), ({"lables": ["sample"]}, "source.lables: unknown key")],
)
def test_make_ends_with_the_sentence(tmp_path, sources, words):
    tiny.write_bad_files(tmp_path)
    given = {key: [entry.replace("{folder}", str(tmp_path)) for entry in entries] for key, entries in sources.items()}
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(yaml.safe_dump(tiny.TINY | {"source": tiny.TINY["source"] | given}))
    command = ["make", "run", f"RECIPE={recipe}", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
    outside = {name: value for name, value in os.environ.items() if "MAKE" not in name}  # of a `make test` around this
    environment = {**outside, "BDD_DATA_DIR": str(tmp_path / "data"), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *_, last, of_make = done.stderr.splitlines()
    assert words in last
    assert of_make.startswith("make: ***")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "data").glob("*/.partial-*"))


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])  # 11 kills each
def test_kill_9_while_any_stage_works_never_hinders_the_next_run(tmp_path, seed):
    chance = random.Random(seed)
    given = tmp_path / "given.h5"
    with_81_classes(given)
    # so small a step that what is learnt is what was given
    changes = {"weights": str(given), "exclude": list(CLASS_LAYERS), "learning_rate": 1e-12, "optimizer": "sgd"}
    more = {"stages": [{"layers": "heads", "epochs": 1}, {"layers": "all", "epochs": 3}]}
    recipe = tmp_path / "slow.yaml"
    recipe.write_text(yaml.safe_dump(tiny.TINY | {"training": tiny.TINY["training"] | changes | more}))
    chain = Chain(recipe, tmp_path / "data")
    for stage in STAGES:
        print(stage, chain.killed(stage, has_begun, chance))
        if stage == "trained_model":
            assert not list(chain.data.glob("trained_model/*/run/training_state.h5"))
            print(stage, chain.killed(stage, has_a_state, chance), "after a state")
            assert "epoch 1 of" in chain.said()
        if stage == "evaluation_report":  # the training before it has ended in the same run
            assert "resuming after" in chain.said()
            assert "epoch 1 of" not in chain.said()
    assert chain.start().wait(SECONDS) == 0, chain.said()[-2000:]
    assert "waiting for" not in chain.said()
    assert "report: " in chain.said().splitlines()[-2]
    assert not list(chain.data.glob("*/.partial-*"))
    retention.prune(Store(chain.data), keep=1, days=0)
    assert [damage(chain.data / stage / LATEST, hash_files=True) for stage in STAGES] == [[]] * len(STAGES)
    assert not list(chain.data.rglob(".removed-*"))
    trained = chain.data / "trained_model" / LATEST / "mask_rcnn_tiny.h5"
    assert set(differing(given, trained)) == {"mrcnn_bbox_fc", "mrcnn_class_logits", "mrcnn_mask"}
