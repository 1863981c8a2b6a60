"""A tiny model, pictures of soft noise, and its ONNX file."""

import pytest

from tests.pipeline import tiny_model
from tests.pipeline.small_datasets import jpeg


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory):
    """Return the folder of a tiny model."""
    return tiny_model.write(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Return a folder of four pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(jpeg(120 + number, 80, number))
    return folder
