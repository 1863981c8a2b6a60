"""Names and arguments of matterport's package (mrcnn 2.1), from its signatures."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mrcnn import model, utils
from mrcnn.config import Config
from mrcnn.original import names as old_names
from tests.mrcnn.street import Squares, TinyConfig

SIGNATURES = json.loads((Path(__file__).parent / "original_signatures.json").read_text())
GONE = {f"mrcnn.{module}.{name}" for module in ("model", "utils") for name in old_names.MOVED}


def found(path):
    module, *names = path.removeprefix("mrcnn.").split(".")
    value = importlib.import_module(f"mrcnn.{module}")
    for name in names:
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("path", sorted(set(SIGNATURES["functions"]) - GONE))
def test_matterport_s_functions_take_their_arguments(path):
    parameters = [p for p in inspect.signature(found(path)).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    theirs = SIGNATURES["functions"][path]
    for ours, (name, default) in zip(parameters, theirs, strict=False):
        assert ours.name.rstrip("_") == name or path.rpartition(".")[2] in old_names.FUNCTIONS
        assert (None if ours.default is ours.empty else repr(ours.default)) == default, name
    assert len(parameters) >= len(theirs)


@pytest.mark.parametrize("path", sorted(set(SIGNATURES["functions"]) & GONE))
def test_errors_for_graph_functions_name_the_replacement(path):
    with pytest.raises(AttributeError, match=r"use mrcnn\.") as fault:
        found(path)
    place = str(fault.value).rpartition("mrcnn.")[2].split(":")[0]
    if place != "nothing":
        found(f"mrcnn.{place}")


def test_matterport_s_settings_have_their_defaults():
    config = Config()
    for name, value in SIGNATURES["settings"].items():
        ours = getattr(config, name)
        assert np.array_equal(ours, value) if isinstance(value, list) else ours == value, name


def test_parallel_model_names_its_replacement():
    from mrcnn.parallel_model import ParallelModel

    with pytest.raises(NotImplementedError, match="GPU_COUNT"):
        ParallelModel(None, 2)


def test_booleans_can_be_resized():
    """scikit-image 0.26 rejects them."""
    half = np.zeros((4, 4), bool)
    half[:2] = True
    assert (utils.resize(half, (8, 8)) >= 0.5)[:4].mean() > 0.8


def test_functions_on_tensors_return_what_they_returned():
    boxes = tf.constant([[0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.5, 0.6]])
    kept, there = old_names.trim_zeros_graph(boxes)
    assert there.numpy().tolist() == [False, True]
    assert kept.shape == (1, 4)
    pixels = model.denorm_boxes_graph(boxes[1:], tf.constant([101, 101]))
    assert pixels.numpy().tolist() == [[10, 20, 51, 61]]
    assert model.norm_boxes_graph(pixels, tf.constant([101, 101])).numpy() == pytest.approx(boxes[1:].numpy())
    assert utils.batch_slice([boxes, boxes], lambda a, b: a + b, 2).numpy() == pytest.approx(2 * boxes.numpy())
    assert [part.shape for part in utils.batch_slice(boxes, lambda a: (a, a[:2]), 2)] == [(2, 4), (2, 2)]
    meta = model.compose_image_meta(7, (10, 20, 3), (64, 64, 3), (1, 2, 3, 4), 0.5, [1, 0, 1])[None]
    parts = model.parse_image_meta_graph(tf.constant(meta))
    for name, column in model.parse_image_meta(meta).items():
        assert parts[name].numpy().tolist() == column.tolist(), name


def test_random_regions_are_in_the_image_and_mostly_near_objects():
    np.random.seed(0)
    objects = np.array([[40, 40, 50, 60], [0, 0, 9, 9]])
    rois = model.generate_random_rois((100, 120, 3), 200, np.array([1, 2]), objects)
    assert rois.shape == (200, 4)
    assert (rois[:, 2:] > rois[:, :2]).all()
    assert (rois == np.clip(rois, 0, [100, 120, 100, 120])).all()
    assert (rois[:90] == np.clip(rois[:90], [30, 20, 30, 20], [60, 80, 60, 80])).all()
    assert len(model.generate_random_rois((10, 10, 3), 7, np.zeros(0), np.zeros((0, 4)))) == 7


def test_the_generator_can_yield_regions_and_their_targets():
    config = TinyConfig()
    generator = model.data_generator(Squares(4), config, False, False, None, 30, 2, True)
    inputs, targets = next(generator)
    assert [part.shape for part in inputs[7:]] == [(2, 30, 4), (2, 64, 4)]
    assert [part.shape for part in targets] == [(2, 64, 1), (2, 64, 3, 4), (2, 64, 28, 28, 3)]
    for image in range(2):
        class_ids = targets[0][image, :, 0]
        positive = class_ids > 0
        assert positive.any()
        assert not targets[2][image][~positive].any()
        overlaps = utils.compute_overlaps(inputs[8][image][positive], inputs[5][image])
        assert (overlaps.max(axis=1) >= 0.49).all()
        assert (inputs[4][image][overlaps.argmax(axis=1)] == class_ids[positive]).all()


def test_importing_utils_does_not_import_tensorflow():
    subprocess.run([sys.executable, "-c", "import sys, mrcnn.utils; sys.exit('tensorflow' in sys.modules)"], check=True)


def test_distutils_is_not_used():
    """Python 3.12 removed it; matterport's code used it."""
    files = sorted(Path(utils.__file__).parent.rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    assert "mrcnn.config" in imported
    assert not [name for name in imported if name.split(".")[0] == "distutils"]
