"""The comparison of a file's detections with the model's."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.evaluation.detections import Detection, Rle
from pipeline.export import checking
from pipeline.geometry.polygon import Box

MODEL = SimpleNamespace(thresholds={"car": 0.5, "sign": 0.5})


def pixels(left: int, side: int = 20) -> np.ndarray:
    mask = np.zeros((60, 60), bool)
    mask[10 : 10 + side, left : left + side] = True
    return mask


def detection(category: str, score: float, left: int, side: int = 20) -> Detection:
    return Detection(category, score, Rle.of(pixels(left, side)), Box(left, 10, side, side))


def instance(category: str, score: float, left: int, mask: np.ndarray | None = None, side: int = 20):
    box = np.array([left, 10, left + side, 10 + side], float)
    return checking._Instance(category, score, box, pixels(left, side) if mask is None else mask)


@pytest.mark.parametrize(
    ("expected", "found", "figures"),
    [
        ([("car", 0.9, 5)], [("car", 0.9, 5)], (1, 0, 0, 0, 1, 0)),
        ([("car", 0.9, 5)], [("car", 0.89, 5)], (1, 0, 0, 0.01, 1, 1)),
        ([("car", 0.9, 5)], [("car", 0.9, 6)], (1, 0, 1, 0, 19 / 21, 1)),
        ([("car", 0.9, 5)], [("sign", 0.9, 5)], (1, 2, 0, 0, 1, 2)),
        ([("car", 0.9, 5), ("car", 0.5005, 30)], [("car", 0.9, 5)], (2, 0, 0, 0, 1, 0)),
        ([], [("car", 0.9, 5)], (0, 1, 0, 0, 1, 1)),
        ([], [], (0, 0, 0, 0, 1, 0)),
    ],
)
def test_the_figures_of_a_picture(expected, found, figures):
    result = checking.difference([detection(*each) for each in expected], [instance(*each) for each in found], MODEL)
    assert (result.detections, result.unmatched, result.box) == figures[:3]
    assert (result.score, result.mask, result.beyond) == pytest.approx(figures[3:])


def test_two_pixels_of_a_small_mask_are_rounding():
    mask = pixels(5, 8)
    mask[10, 5:7] = False
    (expected, found) = detection("car", 0.9, 5, 8), instance("car", 0.9, 5, mask, 8)
    assert checking.difference([expected], [found], MODEL).is_acceptable
    mask[11, 5] = False
    assert not checking.difference([expected], [found], MODEL).is_acceptable


def test_one_detection_of_a_hundred_may_differ_by_more():
    assert checking.Difference(detections=100, beyond=1).is_acceptable
    assert not checking.Difference(detections=99, beyond=1).is_acceptable


def test_the_dataset_of_a_model_of_the_store_is_found(tmp_path):
    model, dataset = tmp_path / "trained_model" / "aa", tmp_path / "dataset_zip" / "bb"
    for folder in (model, dataset):
        folder.mkdir(parents=True)
    assert checking.dataset_of(model) is None
    facts = {"code_version": 1, "recipe": {}, "identities": {}}
    for folder, inputs in ((model, {"dataset_zip": "bb"}), (dataset, {})):
        named = {"name": folder.parent.name, "fingerprint": folder.name, "inputs": inputs}
        (folder / "manifest.json").write_text(json.dumps({**facts, **named}))
    assert checking.dataset_of(model) is None
    (dataset / "images.zip").touch()
    (model.parent / "latest").symlink_to("aa")
    assert checking.dataset_of(model.parent / "latest") == dataset / "images.zip"
    assert checking.dataset_of(model / "weights.h5") == dataset / "images.zip"
