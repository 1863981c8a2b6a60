"""Training that starts from weights: the stage's files are the same whatever it starts from, and their source stays."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mrcnn.training.checkpoints import STATE_FILE
from pipeline import training
from pipeline.errors import TrainingError
from pipeline.recipe import Recipe
from tests.pipeline.small_datasets import squares
from tests.pipeline.weights_files import differing, tiny, with_81_classes

ROOT = Path(__file__).resolve().parents[3]


def trained(out: Path, chosen: Recipe) -> Path:
    """Train on two classes; return the weights."""
    out.mkdir(exist_ok=True)
    training.build(chosen, squares(out.parent / "images.zip"), out)
    assert {file.name for file in out.iterdir()} == {
        "mask_rcnn_tiny.h5", "model.json", "history.csv", "tensorboard", "summary.json",
    }  # fmt: skip
    assert pd.read_csv(out / "history.csv")["epoch"].tolist() == [1]
    assert list((out / "tensorboard").iterdir())
    return out / "mask_rcnn_tiny.h5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a training that started from none."""
    return trained(tmp_path_factory.mktemp("first") / "out", tiny("none"))


@pytest.mark.parametrize("name", ["weights.h5", "tiny20240102T0304/mask_rcnn_tiny_0007.h5"])
def test_weights_of_a_file_are_learnt_from_and_left_alone(tmp_path: Path, weights: Path, name: str) -> None:
    given = tmp_path / name
    given.parent.mkdir(exist_ok=True)
    shutil.copyfile(weights, given)
    # so small a step that what is learnt is what was given
    second = trained(tmp_path / "out", tiny(str(given), learning_rate=1e-12, optimizer="sgd"))
    assert given.read_bytes() == weights.read_bytes()
    assert [file.name for file in given.parent.glob("mask_rcnn_*")] == [given.name] * (name != "weights.h5")
    assert differing(given, second) == []


def test_a_training_killed_in_its_first_epoch_starts_from_its_weights_again(tmp_path: Path, weights: Path) -> None:
    chosen = tiny(str(weights), learning_rate=1e-12, optimizer="sgd")
    (tmp_path / "recipe.json").write_text(json.dumps(chosen.model_dump(mode="json")))
    program = [sys.executable, "-m", "pipeline.training", "--recipe", str(tmp_path / "recipe.json")]
    program += ["--dataset", str(squares(tmp_path / "images.zip")), "--out", str(tmp_path / "out")]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("out/run/events.*")):
            assert process.poll() is None, "the training ended before it could be killed"
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "out/run" / STATE_FILE).exists()
    assert differing(weights, trained(tmp_path / "out", chosen)) == []


def test_weights_that_are_damaged_are_named_in_one_sentence(tmp_path: Path, weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[1000:3000] = b"\xff" * 2000
    damaged, out = tmp_path / "damaged.h5", tmp_path / "out"
    damaged.write_bytes(content)
    out.mkdir()
    with pytest.raises(TrainingError, match=r"training\.weights: .*damaged\.h5"):
        training.build(tiny(str(damaged)), squares(tmp_path / "images.zip"), out)
    assert list(out.iterdir()) == []


def test_weights_of_coco_are_learnt_from_but_for_the_layers_of_its_classes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    coco = tmp_path / "data/.downloads/mask_rcnn_coco.h5"
    coco.parent.mkdir(parents=True)
    with_81_classes(coco)
    first = trained(tmp_path / "out", tiny("coco", learning_rate=1e-12, optimizer="sgd"))
    assert set(differing(coco, first)) == {"mrcnn_bbox_fc", "mrcnn_class_logits", "mrcnn_mask"}
