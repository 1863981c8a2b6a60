"""`python -m pipeline.dataset export`: what it takes, what it says, how it ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset import __main__
from tests.pipeline.dataset.export.archives import every_kind
from tests.pipeline.small_datasets import jpeg, square, squares, write


def exported(*arguments: str | Path) -> int:
    return __main__.main(["export", *map(str, arguments)])


def test_it_says_what_is_written_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exported(every_kind(tmp_path), "--to", "yolo", "--out", tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "pictures: 11 train, 1 val; classes: bus, car, person, sign"
    assert lines[1:] == [
        "instances written: 7",
        "of these boxes, of which no outline is known: 1",
        "instances left out, outside of their pictures: 1",
        "crowds and regions to ignore left out, where YOLO now learns that nothing is: 2",
        f"{tmp_path / 'out'}: data.yaml, images/, labels/",
    ]


@pytest.mark.parametrize("form", ["coco", "yolo", "bdd"])
def test_a_name_that_leads_out_of_its_folder_is_written_inside(tmp_path: Path, form: str) -> None:
    labels = {"a": {"filename": "..", "regions": [square(0, 0, 9, "car")], "width": 32, "height": 16}}
    archive = write(tmp_path / "images.zip", {"train": labels}, {"train/..": jpeg(32, 16)})
    assert exported(archive, "--to", form, "--out", tmp_path / "a/out") == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"images.zip", "a", "data"}
    assert [path.read_bytes() for path in (tmp_path / "a/out").rglob("_")] == [jpeg(32, 16)]


def artifact(store: Path, stage: str, recipe: dict[str, Any], **inputs: str) -> Path:
    """Write the manifest of an artifact into its folder, and return the folder."""
    folder = store / stage / ("a" * 16)
    folder.mkdir(parents=True)
    manifest = {"name": stage, "fingerprint": folder.name, "code_version": 1, "recipe": recipe, "identities": {}}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "inputs": inputs}))
    return folder


def test_an_artifact_is_named_by_folder_or_fingerprint_and_its_recipe_orders_the_classes(
    tmp_path: Path, data_folder: Path
) -> None:
    labels = artifact(data_folder, "filtered_labels", {"labels.categories": ["traffic sign", "car"]})
    folder = artifact(data_folder, "dataset_zip", {}, filtered_labels=labels.name)
    squares(folder / "images.zip")
    for number, named in enumerate((folder, "aaaa")):
        out = tmp_path / f"out{number}"
        assert exported(named, "--to", "coco", "--labels-only", "--out", out) == 0
        categories = json.loads((out / "annotations/instances_val.json").read_text())["categories"]
        assert categories == [{"id": 1, "name": "traffic sign"}, {"id": 2, "name": "car"}]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("absent", "absent: is neither a file, a folder, nor the fingerprint"),
        ("empty", "empty: holds no images.zip"),
        ("cut.zip", "can't be read as a zip archive"),
        ("flipped.zip", "train_2.jpg: is damaged"),
    ],
)
def test_a_fault_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    whole = squares(tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-200])
    at = whole.index(jpeg(160, 90, 2)) + 700
    (tmp_path / "flipped.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    before = sorted(tmp_path.iterdir())
    assert exported(source, "--to", "coco") == 2
    assert sentence in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    archive = squares(tmp_path / "images.zip")
    monkeypatch.setattr(Path, "write_bytes", full)
    assert exported(archive, "--to", "coco", "--out", tmp_path / "out") == 28
    assert "no space is left" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "option"), [(["export", "--help"], "--labels-only"), (["--help"], "--via-train")]
)
def test_help_of_the_export_and_of_the_stage_loads_nothing_heavy(arguments: list[str], option: str) -> None:
    script = (
        "import sys, runpy\n"
        "try: runpy.run_module('pipeline.dataset', run_name='__main__')\n"
        "except SystemExit: print([m for m in ('tensorflow', 'matplotlib', 'cv2', 'dagster') if m in sys.modules])"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4])
    assert option in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
