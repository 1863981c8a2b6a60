"""What Dagster loads: documented, grouped, fast to import."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
import yaml

from assets import defs
from assets.chain import freshness
from pipeline.recipe.sections import CheckName
from pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
GRAPH = defs.resolve_asset_graph()


def test_the_assets_are_the_stages_of_the_chain():
    assert {key.path[-1] for key in GRAPH.get_all_asset_keys()} == set(STAGES)


@pytest.mark.parametrize("key", sorted(GRAPH.get_all_asset_keys()), ids=str)
def test_every_asset_is_documented_grouped_and_of_a_kind(key):
    node = GRAPH.get(key)
    assert node.description
    assert node.group_name in {"raw", "dataset", "model", "report", "release", "use"}
    assert node.kinds
    assert {parent.path[-1] for parent in node.parent_keys} == set(STAGES[key.path[-1]].inputs)


def test_the_schedule_and_the_sensor_run_the_whole_chain():
    job = defs.resolve_job_def("whole_chain")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == set(STAGES)
    assert defs.resolve_schedule_def("nightly").job_name == "whole_chain"
    assert defs.resolve_sensor_def("sources_changed").job_name == "whole_chain"


@pytest.mark.parametrize(
    ("job", "assets"),
    [
        ("refresh_dataset", {"raw_images", "raw_labels", "filtered_labels", "via_train", "via_val", "dataset_zip"}),
        ("retrain", {"trained_model", "evaluation_report", "released_model"}),
        ("evaluate", {"evaluation_report"}),
        ("predict", {"predictions"}),
    ],
)
def test_a_job_runs_its_part_of_the_chain(job, assets):
    keys = defs.resolve_job_def(job).asset_layer.executable_asset_keys
    assert {key.path[-1] for key in keys} == assets


def test_the_recipe_names_every_check_that_may_block_or_warn():
    checks = [check for stage in STAGES.values() for check in stage.checks]
    assert sorted(get_args(CheckName)) == sorted(checks)
    assert all(stage.blocking <= stage.checks.keys() for stage in STAGES.values())


def test_the_code_version_of_an_asset_is_that_of_its_stage():
    assert {key.path[-1]: GRAPH.get(key).code_version for key in GRAPH.get_all_asset_keys()} == {
        stage.name: str(stage.code_version) for stage in STAGES.values()
    }


def test_an_asset_is_overdue_after_the_hours_that_are_named(monkeypatch):
    assert freshness() is None
    monkeypatch.setenv("BDD_FRESH_HOURS", "30")
    assert freshness().fail_window.to_timedelta() == timedelta(hours=30)
    for wrong in ("soon", "0", "1e99", "nan"):
        monkeypatch.setenv("BDD_FRESH_HOURS", wrong)
        with pytest.raises(SystemExit, match=f"BDD_FRESH_HOURS='{wrong}' is no number of hours"):
            freshness()


def test_importing_the_assets_adds_little_to_importing_dagster():
    script = (
        "import sys, time; start = time.perf_counter(); import dagster; between = time.perf_counter(); import assets\n"
        "print((time.perf_counter() - between) / (between - start))\n"
        "print(*(name for name in ('tensorflow', 'pandas', 'matplotlib', 'cv2', 'ray') if name in sys.modules))"
    )
    ratios = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
        ratio, heavy = done.stdout.split("\n")[:2]
        assert heavy == ""
        ratios.append(float(ratio))
    assert min(ratios) <= 0.5


def test_the_workspace_names_the_assets_module():
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["python_module"]["module_name"] == "assets"


def test_dagster_validates_the_definitions():
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr
    assert "ERROR" not in done.stdout + done.stderr
