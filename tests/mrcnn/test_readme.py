"""The README's example of `mrcnn` as a library runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn import weights
from mrcnn.config import Config
from mrcnn.network import inference_network

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.soak
def test_the_example_runs(tmp_path, monkeypatch):
    class Street(Config):
        NUM_CLASSES = 5

    (example,) = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    weights.save(inference_network(Street()), tmp_path / "mask_rcnn_street.h5")
    Image.fromarray(np.zeros((720, 1280, 3), np.uint8)).save("street.jpg")
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert set(names["found"]) == {"rois", "class_ids", "scores", "masks"}
    assert (tmp_path / "street.onnx").stat().st_size > 200_000_000
