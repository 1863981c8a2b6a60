"""What is known of a recipe and a dataset before the first step, and what it says to set."""

import logging

import h5py
import numpy as np
import pytest

from pipeline import training
from pipeline.dataset.images_zip import ImagesZip
from pipeline.errors import EmptyDatasetError, RecipeError
from pipeline.recipe import Recipe, parse
from pipeline.training import checks
from pipeline.training.model_file import config_for_training
from tests.pipeline.small_datasets import squares

WIDE = {"backbone": "narrow", "resize": "pad32", "min_dim": 64}


@pytest.fixture
def dataset(tmp_path):
    """Three images of 160 × 90 a split, with squares of 40 and of 24 pixels."""
    return squares(tmp_path / "images.zip")


def test_images_that_no_network_takes_as_they_are_are_named_before_training(dataset, tmp_path):
    with pytest.raises(RecipeError, match=r"6 of 6 are not \(train_0\.jpg is 160x90\): set training\.resize to pad32$"):
        training.build(parse({"training": {"resize": "none"}}), dataset, tmp_path)


def test_images_of_multiples_of_32_are_taken_as_they_are(tmp_path):
    with ImagesZip(squares(tmp_path / "images.zip", width=160, height=96)) as archive:
        checks.refuse(parse({"training": {"resize": "none"}}), archive)


def test_a_test_split_that_isn_t_there_is_told_before_training(dataset, tmp_path):
    with pytest.raises(
        EmptyDatasetError, match=r"^evaluation\.split: test, but .* has only train, val: set evaluation"
    ):
        training.build(parse({"evaluation": {"split": "test"}}), dataset, tmp_path)


def warnings(chosen: Recipe, dataset, caplog) -> list[str]:
    caplog.set_level(logging.WARNING)
    with ImagesZip(dataset) as archive:
        checks.warn(chosen, config_for_training(chosen, ("car",), 1, 1), archive.records("train"))
    return caplog.messages


@pytest.mark.parametrize(
    ("size", "scales", "known", "instead"),
    [
        (160, [20, 40, 80, 160, 320], "", ""),  # half of them, 40 and 24 pixels large, are larger
        (160, [41, 82, 164, 328, 656], "(41 pixels) once images are resized; half are under 32",
         "[20.5, 41, 82, 164, 328]"),
        (80, [22, 44, 88, 176, 352], "(22 pixels) once images are resized; half are under 16", "[11, 22, 44, 88, 176]"),
        (320, [22, 44, 88, 176, 352], "", ""),
    ],
)  # fmt: skip
def test_instances_smaller_than_the_smallest_anchor_are_warned_of(size, scales, known, instead, dataset, caplog):
    sides = {"max_dim": size, "min_dim": min(size, 180)}
    settings = {"config": {"RPN_ANCHOR_SCALES": scales}, "stages": [{"layers": "all", "epochs": 1}]}
    said = warnings(parse({"training": {**WIDE, **sides, **settings}}), dataset, caplog)
    if not known:
        assert said == []
        return
    start = f"100 % of the instances are smaller than the smallest anchor {known}: set training.config to "
    assert said == [f"{start}{{RPN_ANCHOR_SCALES: {instead}}}, or larger training.min_dim and max_dim"]


@pytest.mark.parametrize(("scales", "advised"), [([6, 12], [3, 6]), ([4, 8], [4, 8])])
def test_no_anchor_under_3_pixels_is_advised(scales, advised):
    assert checks._smaller(scales, 2.0) == advised


def test_heads_on_a_random_backbone_are_warned_of(dataset, caplog):
    (said,) = warnings(parse({"training": {**WIDE, "weights": "none"}}), dataset, caplog)
    assert said.startswith("training.stages.0: the heads are trained while the backbone keeps its random weights")
    assert said.endswith("set training.stages to [{layers: all, epochs: 30}]")
    caplog.clear()
    assert warnings(parse({"training": WIDE}), dataset, caplog) == []


def test_weights_that_are_no_numbers_fail_their_check(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["conv1/kernel"] = np.ones((2, 2), np.float32)
        file["fc/bias"] = np.array([1, np.nan], np.float32)
    check = checks.weights_finite(tmp_path / "w.h5")
    assert (check.passed, check.numbers) == (False, {"damaged": 1, "weights": 2})
    assert check.examples == [{"weight": "fc/bias"}]
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["fc/bias"][1] = 0
    assert checks.weights_finite(tmp_path / "w.h5").passed
