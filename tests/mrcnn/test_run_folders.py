"""Which file is the last checkpoint of which run."""

import datetime
from pathlib import Path

import pytest

from mrcnn.run_folders import checkpoint_of, last_checkpoint, new_run_folder


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


def test_a_longer_name_is_another_model(tmp_path):
    """The original matched by prefix: `bdd` found the runs of `bdd_night`."""
    touch(tmp_path, "bdd20260101T0000/mask_rcnn_bdd_0002.h5", "bdd_night20270101T0000/mask_rcnn_bdd_night_0009.h5")
    assert last_checkpoint(tmp_path, "bdd").path.name == "mask_rcnn_bdd_0002.h5"


def test_a_run_that_finished_no_epoch_is_passed_over(tmp_path):
    touch(tmp_path, "bdd20260101T0000/mask_rcnn_bdd_0002.h5", "bdd20260102T000000/events")
    assert last_checkpoint(tmp_path, "BDD").epoch == 2


def test_epochs_count_as_numbers(tmp_path):
    touch(tmp_path, *(f"bdd20260101T0000/mask_rcnn_bdd_{epoch}.h5" for epoch in ("0002", "9999", "10000")))
    assert last_checkpoint(tmp_path, "bdd").epoch == 10000


def test_nothing_found_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="mask_rcnn_bdd_<epoch>"):
        last_checkpoint(tmp_path, "bdd")


def test_two_runs_of_one_second_have_two_folders(tmp_path):
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    first = new_run_folder(tmp_path, "BDD", now)
    first.mkdir()
    assert first.name == "bdd20260102T030405"
    second = new_run_folder(tmp_path, "BDD", now)
    assert second.name == "bdd20260102T030405_2"
    assert checkpoint_of(second / "mask_rcnn_bdd_0003.h5", "bdd").epoch == 3
