"""Both notebooks from top to bottom, on small data, as Colab runs them but for Colab's own parts."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.assets import tiny
from tests.pipeline.small_datasets import entry, jpeg, square, write

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SECONDS_A_CELL = 170
SMALL = {
    "source": {"sample": {"train": 2, "val": 1}},
    "training": tiny.TINY["training"] | {"config": {}, "schedule": "constant", "warmup_steps": 0},
    "evaluation": {"overlays": 1, "min_confidence": 0.0, "max_detections": 5},
}


def executed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Execute a notebook; return all that its cells gave, as text."""
    for key, value in {"NOTEBOOK_FOLDER": str(tmp_path / "work"), **variables}.items():
        monkeypatch.setenv(key, value)
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=SECONDS_A_CELL, resources={"metadata": {"path": str(NOTEBOOKS.parent)}}).execute()
    return json.dumps([cell.get("outputs", []) for cell in book.cells])


def test_bdd_from_labels_to_masks(tmp_path, monkeypatch):
    given = executed("bdd", tmp_path, monkeypatch, NOTEBOOK_RECIPE=json.dumps(SMALL))
    assert given.count('"image/jpeg"') >= 1  # masks before training
    assert "<!doctype html>" in given.lower()  # the report
    assert (tmp_path / "work/data/evaluation_report/latest/index.html").exists()


def test_via_from_an_upload_to_masks(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    names = [f"{split}/{number}.jpg" for split in ("train", "val") for number in range(2)]
    pictures = {name: jpeg(160, 90, seed) for seed, name in enumerate(names)}
    regions = [square(10, 20, 40, "car"), square(100, 30, 24, "traffic sign")]
    labels = {
        split: {name: entry(name[-5:], regions) for name in names if name.startswith(split)}
        for split in ("train", "val")
    }
    write(tmp_path / "work/mine.zip", labels, pictures)
    small = {key: SMALL[key] for key in ("training", "evaluation")}
    given = executed("via", tmp_path, monkeypatch, NOTEBOOK_SOURCE="mine.zip", NOTEBOOK_RECIPE=json.dumps(small))
    assert given.count('"image/jpeg"') >= 1
    assert (tmp_path / "work/data/trained_model/latest/model.json").exists()


@pytest.mark.parametrize("name", ["bdd", "via"])
def test_no_output_is_committed(name):
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells)
