"""`python -m assets`: what its last line says."""

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from assets import __main__, building, history
from pipeline.artifacts import LATEST
from pipeline.program import FAILURE
from pipeline.stages import STAGES
from tests.assets import tiny
from tests.pipeline.file_server import Behaviour, serving

ROOT = Path(__file__).resolve().parents[2]


def test_the_last_line_is_where_the_last_asset_is_where_no_report_was_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    assert __main__.main(["--recipe", str(ROOT / "recipes/sample.yaml"), "--select", "raw_labels"]) == 0
    made = (tmp_path / "data/raw_labels" / LATEST).resolve()
    assert capsys.readouterr().out.splitlines()[-1] == f"raw_labels: {made}"


def test_all_that_is_absent_is_named_before_anything_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    content = {"source": {"images": ["a.zip"], "labels": ["b"]}, "training": {"weights": "c.h5"}}
    (tmp_path / "mine.yaml").write_text(json.dumps(content))
    assert __main__.main(["--recipe", str(tmp_path / "mine.yaml")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [Path(line.split()[1]).name for line in said] == ["a.zip", "b", "c.h5"]
    assert not (tmp_path / "data").exists()
    assert __main__.main(["--recipe", str(tmp_path / "mine.yaml"), "--select", "raw_labels"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Return a DAGSTER_HOME whose history is in the folder `full` of it."""
    (tmp_path / "dagster.yaml").write_text(f"storage: {{sqlite: {{base_dir: {tmp_path}/full}}}}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


def sqlite_error(code: int, words: str) -> OperationalError:
    original = sqlite3.OperationalError(words)
    original.sqlite_errorcode = code
    return OperationalError("INSERT", {}, original)


def test_a_full_disk_under_the_history_is_one_sentence_that_names_the_folder(home):
    full = sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full")
    assert history.fault(full).startswith(f"no space is left on the disk of {home}/full/history: ")
    wrapped = RuntimeError("the run failed")
    wrapped.__cause__ = full
    assert history.fault(wrapped) == history.fault(full)
    assert "(disk I/O error)" in history.fault(sqlite_error(sqlite3.SQLITE_IOERR_SHMSIZE, "disk I/O error"))


def test_a_full_disk_under_any_other_file_is_named(home):
    assert "the disk of /somewhere" in history.fault(OSError(errno.ENOSPC, "No space left", "/somewhere"))
    assert f"the disk of {home}/full" in history.fault(OSError(errno.EDQUOT, "Quota exceeded"))


def test_any_other_fault_keeps_its_traceback(home):
    assert history.fault(sqlite_error(sqlite3.SQLITE_CORRUPT, "malformed")) == ""
    assert history.fault(OSError(errno.EIO, "Input/output error")) == ""
    assert history.fault(ValueError()) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_run_whose_history_has_no_space_ends_in_one_sentence(home):
    (home / "full").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(home / "full")]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        command = [sys.executable, "-m", "assets", "--recipe", str(tiny.write(home))]
        environment = {**os.environ, "BDD_DATA_DIR": str(home / "full/data")}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", str(home / "full")], check=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"no space is left on the disk of {home}/full/history")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("left", "code", "words"),
    [
        ("a.json: is cut\n", 2, "a.json: is cut"),
        ("", 28, "no space is left on the disk of"),
        (None, 28, "no space is left on the disk of"),
        ("", 139, "raw_images: its program ended unexpectedly (failed with code 139)"),
        (
            "",
            -9,
            "raw_images: its program was killed, mostly since the machine's memory is used up: end other programs",
        ),
    ],
)
def test_what_a_program_left_is_said_else_what_its_exit_code_means(tmp_path, left, code, words):
    if left is not None:
        (tmp_path / FAILURE).write_text(left)
    said = building._sentence(tmp_path, STAGES["raw_images"], f"failed with code {code}")
    assert said.startswith(words)
    assert not (tmp_path / FAILURE).exists()


@pytest.mark.parametrize(
    ("where", "words"),
    [("data", "afile: is a file, where a folder is needed"), ("history", "the history of runs in .*Not a directory")],
)
def test_a_folder_that_is_a_file_is_one_sentence(where, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "afile").touch()
    base = tmp_path / "afile" if where == "history" else tmp_path
    (tmp_path / "dagster.yaml").write_text(f"storage: {{sqlite: {{base_dir: {base}/runs}}}}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / ("afile" if where == "data" else "data")))
    assert __main__.main(["--recipe", str(tiny.write(tmp_path)), "--select", "raw_labels"]) == 2
    assert re.search(words, capsys.readouterr().err.splitlines()[-1])


@pytest.mark.parametrize("settings", ["storage: [", "nonsense: 1"])
def test_settings_of_dagster_that_can_t_be_read_are_one_sentence(settings, tmp_path, monkeypatch, capsys):
    (tmp_path / "dagster.yaml").write_text(settings)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert __main__.main(["--recipe", str(tiny.write(tmp_path)), "--select", "raw_labels"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{tmp_path}/dagster.yaml: ")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_says_that_the_same_command_goes_on(stop, tmp_path):
    with serving(Behaviour(drip=0.1)) as address:
        command = [sys.executable, "-m", "assets", "--recipe", str(tiny.write(tmp_path)), "--select", "raw_labels"]
        command += ["--set", f"source.labels=[{address}/a.json]"]
        environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "BDD_DATA_DIR": str(tmp_path / "data")}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as run:
            said = [next(line for line in run.stderr if "building raw_" in line)]
            time.sleep(5)  # until its program downloads
            run.send_signal(stop)
            said += run.stderr
    assert run.returncode == 130
    assert said[-1] == "interrupted in raw_labels: the same command goes on after what is finished\n"
    assert "Traceback" not in "".join(said)
