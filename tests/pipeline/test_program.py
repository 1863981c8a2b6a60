"""Stages as programs: what they print last, and how they end."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import program
from pipeline.stages import STAGES
from tests.assets import tiny

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", *command]
    return subprocess.run(
        whole, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    "module", ["labels", "dataset", "training", "evaluation", "sources.raw_images", "sources.raw_labels", "export"]
)
def test_help_names_the_options_without_importing_anything_heavy(module):
    script = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('pipeline.{module}', run_name='__main__')\n"
        "except SystemExit: print([m for m in ('tensorflow', 'matplotlib', 'cv2', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--out" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_fault_of_the_recipe_is_the_last_line(tmp_path):
    done = run("pipeline.sources.raw_images", "--set", "training.sped=1", "--out", str(tmp_path / "out"))
    assert last_line(done).endswith("training.sped: unknown key")


def test_a_change_without_an_equals_sign_is_explained(tmp_path):
    done = run("pipeline.sources.raw_images", "--set", "seed", "--out", str(tmp_path / "out"))
    assert "write it as KEY=VALUE" in last_line(done)


def test_an_input_that_does_not_exist_is_named(tmp_path):
    done = run("pipeline.training", "--dataset", str(tmp_path / "images.zip"), "--out", str(tmp_path / "out"))
    assert last_line(done).startswith(f"{tmp_path / 'images.zip'}: --dataset does not exist")


def test_a_truncated_dataset_is_named(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK\3\4 and no more")
    done = run("pipeline.training", "--dataset", str(tmp_path / "images.zip"), "--out", str(tmp_path / "out"))
    assert last_line(done).startswith(str(tmp_path / "images.zip"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("source.images=[{folder}/cut.zip]", "cut.zip"),
        ("source.labels=[{folder}/cut.json]", "cut.json"),
        ("training.learning_rate=-1", "training.learning_rate: input should be greater than 0"),
    ],
)
def test_the_program_that_meets_a_fault_says_it_last_and_leaves_nothing(tmp_path, change, words):
    tiny.write_bad_files(tmp_path)
    common = ("--recipe", str(tiny.write(tmp_path)), "--set", change.replace("{folder}", str(tmp_path)))
    given = ("--raw-images", str(tmp_path / "raw_images"), "--raw-labels", str(tmp_path / "raw_labels"))
    for module, options in (("sources.raw_images", ()), ("sources.raw_labels", ()), ("labels", given)):
        out = tmp_path / module.rpartition(".")[2]
        done = run(f"pipeline.{module}", *common, *options, "--out", str(out), BDD_DATA_DIR=str(tmp_path / "data"))
        if done.returncode:
            break
    assert words in last_line(done)
    left = [path.name for path in out.iterdir()] if out.exists() else []
    assert set(left) <= {".failure"}  # the sentence, for the process that started the program


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_in_one_sentence_and_leaves_no_artifact(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        recipe = tiny.write(tmp_path)
        done = run("assets", "--recipe", str(recipe), BDD_DATA_DIR=str(disk), DAGSTER_HOME=str(tmp_path))
        assert done.returncode == 2
        assert "no space is left on the disk" in done.stderr.splitlines()[-1]
        assert not list(disk.glob("*/.partial-*"))
        assert not [path for name in STAGES for path in disk.glob(f"{name}/[0-9a-f]*")]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_of_temporary_files_is_named(tmp_path, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(program, "_messages", full)
    monkeypatch.setenv("TMPDIR", "/full")
    assert program.main("raw_labels", ["--out", str(tmp_path)]) == program.EXIT_NO_SPACE
    assert (tmp_path / program.FAILURE).read_text() == program.no_space("/full")


def test_a_sentence_that_finds_no_space_is_left_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    def write_text(path, *_):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", write_text)
    program._report(tmp_path, "no space\nis left")
    assert capsys.readouterr().err.splitlines()[-1] == "no space is left"
    assert not (tmp_path / program.FAILURE).exists()


def test_the_programs_run_the_chain_without_dagster(tmp_path):
    recipe = tiny.write(tmp_path)
    environment = {"BDD_DATA_DIR": str(tmp_path / "data")}

    def stage(module: str, out: str, *options: str) -> None:
        done = run(module, *options, "--recipe", str(recipe), "--out", str(tmp_path / out), **environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.splitlines()[-1].partition(": ")[2].startswith(f"{tmp_path / out}: ")
        assert "absl" not in done.stderr

    def made(name: str) -> str:
        return str(tmp_path / name)

    stage("pipeline.sources.raw_images", "images")
    again = run(
        "pipeline.sources.raw_images", "--recipe", str(recipe), "--out", str(tmp_path / "images"), **environment
    )
    assert (again.returncode, "holds a finished raw_images" in again.stderr) == (2, True)
    stage("pipeline.sources.raw_images", "images", "--force")
    stage("pipeline.sources.raw_labels", "labels")
    both = ("--raw-images", made("images"), "--raw-labels", made("labels"))
    stage("pipeline.labels", "filtered", *both)
    for split in ("train", "val"):
        stage("pipeline.program", f"via_{split}", f"via_{split}", "--filtered-labels", made("filtered"))
    stage(
        "pipeline.dataset", "dataset", "--filtered-labels", made("filtered"), "--raw-images", made("images"),
        "--via-train", made("via_train"), "--via-val", made("via_val"),
    )  # fmt: skip
    stage("pipeline.training", "model", "--dataset", str(tmp_path / "dataset/images.zip"))
    weights = ("--dataset", made("dataset"), "--model", str(next(Path(made("model")).glob("*.h5"))))
    wrong = run("pipeline.evaluation", *weights, "--recipe", str(recipe), "--out", made("none"), **environment)
    assert "is a file; --model takes the folder made by trained_model, with model.json" in wrong.stderr
    stage("pipeline.evaluation", "report", "--dataset", made("dataset"), "--model", made("model"))
    assert json.loads((tmp_path / "report/metrics.json").read_text())["images"] == 3
    assert not (tmp_path / "model/run").exists()
