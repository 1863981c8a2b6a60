"""Weights files of the tiny network for tests of what training starts from, and what they have in common."""

from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.recipe import Recipe
from tests.assets.tiny import TINY


def tiny(weights: str = "none", **more: Any) -> Recipe:
    """A recipe that trains one step."""
    chosen = {**TINY["training"], "weights": weights, "steps_per_epoch": 1, "batch_size": 1, "max_dim": 128, **more}
    return recipe.parse({"name": "tiny", "training": chosen})


def with_81_classes(path: Path) -> None:
    """Write fresh weights of the tiny network, made for the classes of COCO."""
    from mrcnn.model import MaskRCNN
    from pipeline.training import model_file

    names = tuple(f"class {number}" for number in range(80))
    config = model_file.config_for_training(tiny("none"), names, 1, 1)
    MaskRCNN("training", config, path.parent / "runs").save_weights(path)


def differing(one: Path, other: Path) -> list[str]:
    """Return the layers whose learnt weights differ, by shape or by more than rounding."""
    import numpy as np

    from mrcnn.weights import read_file

    first, second = read_file(one), read_file(other)
    assert first.keys() == second.keys()
    learnt = [key for key in first if "moving" not in key[1]]
    return sorted(
        {
            layer
            for layer, tensor in learnt
            if first[layer, tensor].shape != second[layer, tensor].shape
            or not np.allclose(first[layer, tensor], second[layer, tensor], atol=1e-6)
        }
    )
