"""Which folders are held while they are read, and which have nothing to fear."""

import errno
import subprocess
import sys

import pytest

from pipeline.artifacts import hold, usage
from tests.pipeline.stored_reports import artifact


def test_an_artifact_is_held_by_its_folder_a_file_in_it_or_latest(tmp_path):
    for at, stage in enumerate(("raw_images", "via_train", "trained_model")):
        folder = artifact(tmp_path, stage, f"0{at}", {})
        (folder.parent / "latest").symlink_to(folder.name)
        path = (folder, folder / "manifest.json", folder.parent / "latest")[at]
        assert hold(path) == path
    assert usage.in_use(tmp_path) == {"raw_images/00", "via_train/01", "trained_model/02"}


def test_what_a_dead_process_held_is_cleared_away_by_the_next(tmp_path):
    folder = artifact(tmp_path, "trained_model", "0a", {})
    script = f"from pathlib import Path; from pipeline.artifacts import hold; hold(Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", script], check=True)
    (of_the_dead,) = (tmp_path / usage.FOLDER).iterdir()
    hold(folder)
    assert not of_the_dead.exists()
    assert len(list((tmp_path / usage.FOLDER).iterdir())) == 1


def test_a_folder_outside_of_a_store_is_left_as_it_is(tmp_path):
    copied = artifact(tmp_path, "my_models", "0a", {})
    hold(copied)
    hold(tmp_path / "none.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["my_models"]


@pytest.mark.parametrize(("code", "is_read"), [(errno.EROFS, True), (errno.EACCES, True), (errno.EIO, False)])
def test_a_store_that_can_t_be_written_is_read_all_the_same(tmp_path, monkeypatch, code, is_read):
    folder = artifact(tmp_path, "trained_model", "0a", {})

    def refuse(*names: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(usage, "hold_names", refuse)
    if is_read:
        assert hold(folder) == folder
    else:
        with pytest.raises(OSError, match="refused"):
            hold(folder)
