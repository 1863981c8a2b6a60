"""`python -m pipeline.export` from arguments to a file that finds what the model finds."""

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from mrcnn.config import Config
from pipeline.export import checking, writing
from pipeline.export.__main__ import main
from pipeline.prediction.opening import load_model

ROOT = Path(__file__).resolve().parents[3]
SCORE = 0.2


@pytest.fixture(scope="module")
def export(exported_model):
    def run(*arguments):
        return main([str(exported_model), *map(str, arguments)])

    return run


@pytest.fixture(scope="module")
def onnx_file(export, pictures, tmp_path_factory):
    """Return the tiny model's ONNX file, which the command has compared with the model."""
    out = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    assert export("--to", "onnx", "--out", out, "--check", pictures, "--min-score", SCORE) == 0
    assert [file.name for file in out.parent.iterdir()] == ["tiny.onnx"]
    return out


def test_an_onnx_file_finds_what_the_model_finds(onnx_file, exported_model):
    model, session = load_model(exported_model, min_score=SCORE), onnxruntime.InferenceSession(onnx_file)
    for size in ((80, 120), (333, 200), (20, 31)):
        image = np.random.default_rng(size[0]).integers(60, 200, (*size, 3), dtype=np.uint8)
        boxes, class_ids, scores, masks = session.run(["boxes", "class_ids", "scores", "masks"], {"image": image})
        (expected,) = model.detect([image])
        assert len(expected) >= 3
        assert [model.class_names[class_id] for class_id in class_ids] == [each.category for each in expected]
        assert scores == pytest.approx([each.score for each in expected], abs=1e-4)
        corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in (each.box for each in expected)]
        assert boxes == pytest.approx(np.array(corners), abs=1)
        assert masks.dtype == bool
        assert masks.shape == (len(expected), *size)
        assert (masks != np.stack([each.rle.pixels() for each in expected])).mean() < 1e-3


def test_the_file_says_what_it_is(onnx_file):
    said = onnxruntime.InferenceSession(onnx_file).get_modelmeta().custom_metadata_map
    assert json.loads(said["class_names"]) == ["BG", "car", "traffic sign"]
    assert json.loads(said["thresholds"]) == {"car": SCORE, "traffic sign": SCORE}
    assert json.loads(said["resize"]) == {"mode": "pad32", "min_dim": 64, "max_dim": 96}


def test_a_picture_without_detections_has_masks_of_its_size(onnx_file):
    found = onnxruntime.InferenceSession(onnx_file).run(["masks"], {"image": np.zeros((1, 1, 3), np.uint8)})
    assert found[0].shape[1:] == (1, 1)


def test_the_script_of_the_documentation_turns_a_picture_into_masks(onnx_file, pictures, tmp_path):
    (script,) = re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "export.md").read_text("utf-8"), re.DOTALL)
    assert len(script.splitlines()) <= 20
    imports = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    assert names | {node.module for node in imports if isinstance(node, ast.ImportFrom)} == {
        "json", "sys", "numpy", "onnxruntime", "PIL",
    }  # fmt: skip
    (tmp_path / "masks.py").write_text(script)
    (tmp_path / "model.onnx").symlink_to(onnx_file)
    command = [sys.executable, "masks.py", str(pictures / "0.jpg")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    masks = sorted(tmp_path.glob("mask_*.png"))
    assert len(masks) == len(done.stdout.splitlines()) >= 3
    assert Image.open(masks[0]).size == (120, 80)
    assert re.match(r"(car|traffic sign) 0\.\d\d ", done.stdout)


def test_a_saved_model_finds_what_the_model_finds(export, pictures, tmp_path, capsys):
    out = tmp_path / "serving" / "1"
    options = ["--to", "savedmodel", "--out", out, "--min-score", SCORE]
    assert export(*options, "--check", pictures) == 0
    assert re.search(r"difference +4 +\d+ +0 ", capsys.readouterr().out)
    said = json.loads((out / "assets.extra" / "model.json").read_text())
    assert said["class_names"] == ["BG", "car", "traffic sign"]
    assert export(*options) == 2
    assert f"{out}: is there already" in capsys.readouterr().err


@pytest.fixture
def copied(onnx_file, monkeypatch):
    """Copy the ONNX file in place of writing another one."""
    monkeypatch.setattr(writing, "write", lambda model, form, out: shutil.copy(onnx_file, out))


@pytest.mark.usefixtures("copied")
def test_a_file_that_finds_something_else_is_an_error(export, pictures, tmp_path, capsys, monkeypatch):
    def shifted(path, form):
        run = opened(path, form)
        return lambda image: (found := run(image)) | {"boxes": found["boxes"] + 1}

    opened = checking.opened
    monkeypatch.setattr(checking, "opened", shifted)
    out = tmp_path / "model.onnx"
    assert export("--to", "onnx", "--out", out, "--check", pictures, "--min-score", SCORE) == 2
    assert re.search(r"(\d+) of \1 detections differ from the model's by more than the bounds", capsys.readouterr().err)


@pytest.mark.usefixtures("copied")
def test_nothing_to_check_with_is_said(export, tmp_path, capsys):
    assert export("--to", "onnx", "--out", tmp_path / "model.onnx") == 0
    assert "not checked, since the dataset of" in capsys.readouterr().out


def test_pictures_to_check_with_that_are_none_are_an_error(export, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert export("--to", "savedmodel", "--out", tmp_path / "model", "--check", tmp_path / "empty") == 2
    assert "no picture that can be read is there to check with" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--max-detections", 0), ("--min-score", 7), ("--to", "torch")])
def test_impossible_options_are_explained(export, option, capsys):
    with pytest.raises(SystemExit, match="2"):
        export("--to", "onnx", *option)
    assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_tflite_is_refused_at_once(export, capsys, monkeypatch):
    monkeypatch.setattr(Config, "__init__", None)
    assert export("--to", "tflite") == 2
    assert "use --to onnx" in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_command_that_installs_it(export, capsys, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "tf2onnx" else name)
    assert export("--to", "onnx") == 2
    assert capsys.readouterr().err == "--to onnx needs tf2onnx: .venv/bin/python -m pip install tf2onnx\n"
