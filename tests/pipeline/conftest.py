"""What every test of the pipeline gets: a data folder of its own, so that nothing is kept in the checkout."""

import pytest

from pipeline.sources import download
from tests.pipeline.file_server import Behaviour, serving


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Return the folder in which this test's hashes and downloads are kept, `$BDD_DATA_DIR`."""
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    """Try what a server doesn't give three times within milliseconds."""
    monkeypatch.setattr(download, "RETRY", download.RETRY.new(total=2, backoff_factor=0.01))


@pytest.fixture
def behaviour():
    """Return what the server of `address` does, to be changed by the test."""
    return Behaviour()


@pytest.fixture
def address(behaviour):
    """Return the address of a file on a server that does as `behaviour` says."""
    with serving(behaviour) as server:
        yield f"{server}/files/images.bin"


@pytest.fixture
def downloads(data_folder):
    """Return the folder that downloads are kept in."""
    return data_folder / ".downloads"
