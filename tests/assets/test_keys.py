"""Several recipes side by side: a prefix before all assets of a code location."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assets import keys
from tests.assets import tiny

ROOT = Path(__file__).resolve().parents[2]
LOCATION = """import os
os.environ |= {{"BDD_PREFIX": "night", "BDD_RECIPE": "{recipe}"}}
from assets import defs
"""
RUN = """
assert {"/".join(key.path) for key in defs.resolve_asset_graph().get_all_asset_keys()} >= {"night/raw_labels"}
result = defs.resolve_job_def("refresh_dataset").execute_in_process()
made = [event.asset_key.path for event in result.get_asset_materialization_events()]
assert made[-1] == ["night", "dataset_zip"], made
checks = {check.asset_key.path[0] for check in result.get_asset_check_evaluations()}
assert checks == {"night"}, checks
"""


def test_the_assets_of_a_location_have_its_prefix_and_its_recipe(tmp_path):
    program = tmp_path / "night.py"
    program.write_text(LOCATION.format(recipe=tiny.write(tmp_path)) + RUN)
    environment = {**os.environ, "BDD_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", ["a/b", "a__b", "1", "é", "a b"])
def test_a_prefix_that_cannot_be_is_one_sentence(name, monkeypatch):
    monkeypatch.setenv("BDD_PREFIX", name)
    with pytest.raises(SystemExit, match="is no name of letters, digits and single underscores"):
        keys.prefix()


@pytest.mark.parametrize(("step", "stage"), [("via_val", "via_val"), ("night__via_val", "via_val"), (None, "")])
def test_the_stage_of_a_step_is_found(step, stage):
    assert keys.stage_of(step) == stage
