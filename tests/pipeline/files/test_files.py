"""The folder of a user's data."""

import pytest

from pipeline import files
from pipeline.artifacts import Store
from pipeline.files import downloads_folder


@pytest.mark.parametrize("given", ["", None, "elsewhere"])
def test_everything_that_is_kept_is_kept_in_one_data_folder(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BDD_DATA_DIR", given or "")
    if given is None:
        monkeypatch.delenv("BDD_DATA_DIR")
    folder = tmp_path / (given or "data")
    assert files.data_folder() == folder
    assert Store().root == folder
    assert downloads_folder() == folder / ".downloads"
