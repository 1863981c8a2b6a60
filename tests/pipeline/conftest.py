"""What every test of the pipeline gets: a data folder of its own, so that nothing is kept in the checkout."""

import pytest


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Return the folder in which this test's hashes and downloads are kept, `$BDD_DATA_DIR`."""
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"
