"""What Dagster's history keeps of a run: the job, the recipe in its configuration and tags, what its steps printed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from assets import __main__, defs, history
from pipeline.errors import PipelineError
from tests.assets import tiny
from tests.pipeline.file_server import Behaviour, serving


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is DAGSTER_HOME and holds the data folder and the tiny recipe."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    tiny.write(tmp_path)
    return tmp_path


@pytest.fixture
def runs(home: Path) -> Iterator[dg.DagsterInstance]:
    with history.opened() as instance:
        yield instance


def run_by_hand(home: Path) -> None:
    command = ["--recipe", f"{home}/tiny.yaml", "--set", "seed=7", "--select", "raw_labels"]
    assert __main__.main(command) == 0


def materialisation(runs: dg.DagsterInstance) -> dict[str, Any]:
    """Return the metadata of `raw_labels` as it was materialised last."""
    event = runs.get_latest_materialization_event(dg.AssetKey("raw_labels"))
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_run_from_the_shell_is_one_of_the_whole_chain_with_the_recipe_in_config_and_tags(home, runs):
    run_by_hand(home)
    run = runs.get_runs()[0]
    recipe = {"file": f"{home}/tiny.yaml", "content": tiny.TINY | {"seed": 7}}
    assert (run.job_name, run.asset_selection) == ("whole_chain", {dg.AssetKey("raw_labels")})
    assert run.run_config["resources"]["recipe"]["config"] == recipe
    assert {key: run.tags[key] for key in ("recipe", "recipe_file")} == {
        "recipe": "tiny",
        "recipe_file": recipe["file"],
    }
    assert run.remote_job_origin.location_name == "assets"
    assert runs.get_runs(dg.RunsFilter(tags={".dagster/repository": "__repository__@assets"})) == [run]


def test_a_run_that_is_executed_again_follows_the_same_recipe_though_its_file_is_gone(home, runs):
    run_by_hand(home)
    first = runs.get_runs()[0]
    (home / "tiny.yaml").unlink()
    job = defs.resolve_job_def("whole_chain")
    job.execute_in_process(first.run_config, runs, asset_selection=list(first.asset_selection))
    again = runs.get_runs()[0]
    assert again.run_id != first.run_id
    assert again.tags["recipe_fingerprint"] == first.tags["recipe_fingerprint"]
    assert materialisation(runs)["cached"]


def test_each_materialisation_names_the_recipe_and_what_has_changed(home, runs):
    run_by_hand(home)
    made = materialisation(runs)
    fingerprint = runs.get_runs()[0].tags["recipe_fingerprint"]
    assert made["recipe"] == f"tiny {fingerprint} ({home}/tiny.yaml)"
    assert made["changes"] == "first time"
    run_by_hand(home)
    assert materialisation(runs)["changes"] == "none"
    (home / "tiny.yaml").write_text(yaml.safe_dump(tiny.TINY | {"labels": {"curve_tolerance": 1.5}}))
    run_by_hand(home)
    assert materialisation(runs)["changes"].startswith("recipe key labels.curve_tolerance: ")


def test_a_run_without_configuration_is_tagged_and_linked_too(home, runs, monkeypatch):
    monkeypatch.setenv("BDD_RECIPE", f"{home}/tiny.yaml")
    job = defs.get_repository_def().get_implicit_global_asset_job_def()
    job.execute_in_process(instance=runs, asset_selection=[dg.AssetKey("raw_labels")])
    run = runs.get_runs()[0]
    assert (run.tags["recipe"], run.tags["recipe_file"]) == ("tiny", f"{home}/tiny.yaml")
    assert run.remote_job_origin.location_name == "assets"
    assert runs.get_runs(dg.RunsFilter(tags={".dagster/repository": "__repository__@assets", "recipe": "tiny"})) == [
        run
    ]


def test_what_the_steps_print_is_kept(home, runs):
    run_by_hand(home)
    kept = list((home / "storage" / runs.get_runs()[0].run_id / "compute_logs").glob("*.err"))
    assert len(kept) == 1
    assert "raw_labels: building raw_labels" in kept[0].read_text()


def test_the_checkout_keeps_what_steps_print_beside_the_history(monkeypatch):
    root = Path(__file__).resolve().parents[3]
    settings = yaml.safe_load((root / "dagster.yaml").read_text())
    assert settings["compute_logs"]["config"]["base_dir"] == f"{settings['storage']['sqlite']['base_dir']}/storage"


def test_a_home_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "none"))
    with pytest.raises(PipelineError, match=r"DAGSTER_HOME=.*/none: there is no such folder"):
        history.opened()


def test_neither_the_history_nor_an_artifact_keeps_a_secret_and_a_run_executed_again_has_it(home, runs):
    behaviour = Behaviour(content=b"[{")
    with serving(behaviour) as server:
        entry = f"{server.replace('://', '://me:hunter2@')}/a.json?token=tok3n"
        content = tiny.TINY | {"source": {"labels": [entry], "sample": tiny.TINY["source"]["sample"]}}
        (home / "tiny.yaml").write_text(yaml.safe_dump(content))
        assert __main__.main(["--recipe", f"{home}/tiny.yaml", "--select", "raw_labels"]) == 2
        run = runs.get_runs()[0]
        behaviour.content = b'[{"name": "a.jpg", "labels": []}]'
        assert (
            defs.resolve_job_def("whole_chain")
            .execute_in_process(run_config=run.run_config, instance=runs, asset_selection=[dg.AssetKey("raw_labels")])
            .success
        )
    assert all("Authorization" in request for request in behaviour.requests)
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "tiny.yaml"]
    assert not [path for path in files if path.name == ".recipe.json"]
    content = b"".join(path.read_bytes() for path in files)
    assert b"***@127.0.0.1" in content
    assert b"hunter2" not in content
    assert b"tok3n" not in content
