"""Training that starts from weights: the stage's files are the same whatever it starts from, and their source stays."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline import recipe, training
from pipeline.recipe import Recipe
from tests.assets.tiny import TINY
from tests.pipeline.small_datasets import squares


def tiny(weights: str, **more: Any) -> Recipe:
    """A recipe that trains one step."""
    chosen = {**TINY["training"], "weights": weights, "steps_per_epoch": 1, "batch_size": 1, "max_dim": 128, **more}
    return recipe.parse({"name": "tiny", "training": chosen})


def trained(out: Path, chosen: Recipe) -> Path:
    """Train on two classes; return the weights."""
    out.mkdir()
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


def test_weights_of_coco_are_learnt_from_but_for_the_layers_of_its_classes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    coco = tmp_path / "data/.downloads/mask_rcnn_coco.h5"
    coco.parent.mkdir(parents=True)
    with_81_classes(coco)
    first = trained(tmp_path / "out", tiny("coco", learning_rate=1e-12, optimizer="sgd"))
    assert set(differing(coco, first)) == {"mrcnn_bbox_fc", "mrcnn_class_logits", "mrcnn_mask"}


def with_81_classes(path: Path) -> None:
    """Write fresh weights of the tiny network, made for the classes of COCO."""
    from mrcnn.model import MaskRCNN
    from pipeline import model_file

    names = tuple(f"class {number}" for number in range(80))
    config = model_file.config_for_training(tiny("none"), names, 1, 1)
    MaskRCNN("training", config, path.parent / "runs").save_weights(path)


def differing(one: Path, other: Path) -> list[str]:
    """Return the layers whose learnt weights differ, by shape or by more than rounding."""
    import numpy as np

    from mrcnn.weights import read_file

    ours, theirs = read_file(one), read_file(other)
    assert ours.keys() == theirs.keys()
    learnt = [key for key in ours if "moving" not in key[1]]
    return sorted(
        {
            layer
            for layer, tensor in learnt
            if ours[layer, tensor].shape != theirs[layer, tensor].shape
            or not np.allclose(ours[layer, tensor], theirs[layer, tensor], atol=1e-6)
        }
    )
