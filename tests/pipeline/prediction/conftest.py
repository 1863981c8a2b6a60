"""A tiny model, and pictures of soft noise."""

import pytest

from tests.pipeline import tiny_model
from tests.pipeline.small_datasets import jpeg


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """Return the folder of a tiny model."""
    return tiny_model.write(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def drive(tmp_path):
    """Return a folder of five pictures."""
    folder = tmp_path / "drive"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(jpeg(120, 80, number))
    return folder
