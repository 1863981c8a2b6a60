"""Each data stage's output on a tiny input, held by digest: a change of output must come with a new code version.

When this fails after a change that is meant, raise the stage's code version in `pipeline/stages.py` and hold the
digest that the failure shows. (What TensorFlow makes differs from machine to machine and is not held.)
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import dataset, labels, recipe, via
from pipeline.formats import content, json_batches
from pipeline.sources import raw_images, raw_labels
from pipeline.stages import STAGES
from tests.assets.tiny import TINY

OUTPUTS = {
    "raw_images": "images.parquet",
    "raw_labels": "labels.parquet",
    "filtered_labels": "labels.parquet",
    "via_train": "via_region_data.json",
    "via_val": "via_project.json",
    "dataset_zip": "images.zip",
}
HELD = {
    "raw_images": (4, "97a8d4f08687a4cc"),
    "raw_labels": (8, "0af7e6b78a0dddcb"),
    "filtered_labels": (17, "a161c5cb19c63300"),
    "via_train": (3, "c12133a8594fe335"),
    "via_val": (3, "6aebcd3557d4cdd3"),
    "dataset_zip": (2, "f28e91f41fbbfb26"),
}
"""Code version and the start of the output's SHA-256."""


def build_all(folder: Path) -> dict[str, str]:
    """Run the data stages in `folder`; return the digest of one output of each."""
    chosen = recipe.parse(TINY | {"source": {"sample": {"train": 2, "val": 1}}})
    out = {name: folder / name for name in OUTPUTS}
    for path in out.values():
        path.mkdir()
    raw_images.build(chosen, out=out["raw_images"], downloads=folder / "downloads")
    raw_labels.build(chosen, out=out["raw_labels"], downloads=folder / "downloads")
    raw = {"raw_images": out["raw_images"]}
    labels.build(chosen, raw_labels=out["raw_labels"], **raw, out=out["filtered_labels"])
    filtered = {"filtered_labels": out["filtered_labels"]}
    via.build(chosen, **filtered, split="train", out=out["via_train"])
    via.build(chosen, **filtered, split="val", out=out["via_val"])
    both = {"via_train": out["via_train"], "via_val": out["via_val"]}
    dataset.build(chosen, **filtered, **both, **raw, out=out["dataset_zip"])
    return {name: _digest(out[name] / file)[:16] for name, file in OUTPUTS.items()}


def all_files(folder: Path) -> dict[str, str]:
    """Return the digests of all that the stages behind the raw ones wrote; those tell where their sources lie."""
    stages = [folder / name for name in OUTPUTS if not name.startswith("raw_")]
    return {str(file.relative_to(folder)): _digest(file) for stage in stages for file in stage.iterdir()}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def built(folders, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BDD_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield tuple(map(build_all, folders))


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_changed_output_comes_with_a_raised_code_version(stage, built):
    assert (STAGES[stage].code_version, built[0][stage]) == HELD[stage]


def test_a_second_build_elsewhere_gives_the_same_bytes(built, folders):
    assert built[0] == built[1]
    here, elsewhere = map(all_files, folders)
    assert here == elsewhere
    assert {"via_train/via_region_data.json", "via_val/via_region_data.json", "dataset_zip/images.zip"} <= here.keys()


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("processes", [1, 3])
def test_any_number_of_processes_and_threads_gives_the_same_bytes(folders, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(json_batches, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(json_batches, "BATCH", 1 << 10)
    monkeypatch.setattr(content, "LARGE", 0)
    monkeypatch.setattr(dataset, "IMAGES_AT_ONCE", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: processes)
    build_all(tmp_path)
    assert all_files(tmp_path) == all_files(folders[0])


def test_an_older_processor_gives_the_same_bytes(built, tmp_path):
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    program = (
        "import json, sys, pathlib, tests.pipeline.test_code_versions as this;"
        "print(json.dumps(this.build_all(pathlib.Path(sys.argv[1]))))"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found), "BDD_DATA_DIR": str(tmp_path / "data")}
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")], env=environment, capture_output=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == built[0]
