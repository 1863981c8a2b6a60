"""Run folders, and the last checkpoint of a run."""

import datetime
from pathlib import Path

import pytest

from mrcnn.model import MaskRCNN
from mrcnn.training.run_folders import checkpoint_of, last_checkpoint, new_run_folder, reserved_run_folder
from tests.mrcnn.street import TinyConfig


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


def test_a_longer_name_is_another_model(tmp_path):
    """Matterport's code matched prefixes: `bdd` found the runs of `bdd_night`."""
    touch(tmp_path, "bdd20260101T0000/mask_rcnn_bdd_0002.h5", "bdd_night20270101T0000/mask_rcnn_bdd_night_0009.h5")
    assert last_checkpoint(tmp_path, "bdd").path.name == "mask_rcnn_bdd_0002.h5"


def test_runs_without_a_finished_epoch_are_skipped(tmp_path):
    touch(tmp_path, "bdd20260101T0000/mask_rcnn_bdd_0002.h5", "bdd20260102T000000/events")
    assert last_checkpoint(tmp_path, "BDD").epoch == 2


def test_epochs_are_compared_as_numbers(tmp_path):
    touch(tmp_path, *(f"bdd20260101T0000/mask_rcnn_bdd_{epoch}.h5" for epoch in ("0002", "9999", "10000")))
    assert last_checkpoint(tmp_path, "bdd").epoch == 10000


def test_the_error_names_the_files_that_were_searched(tmp_path):
    with pytest.raises(FileNotFoundError, match="mask_rcnn_bdd_<epoch>"):
        last_checkpoint(tmp_path, "bdd")


SECOND = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def test_two_models_created_in_the_same_second_have_different_folders(tmp_path):
    first, second = (new_run_folder(tmp_path, "BDD", SECOND) for _ in range(2))
    assert first.name == "bdd20260102T030405"
    assert second.name == "bdd20260102T030405_2"
    assert checkpoint_of(second / "mask_rcnn_bdd_0003.h5", "bdd").epoch == 3
    assert not list(tmp_path.iterdir())


def test_a_folder_created_by_another_process_is_not_shared(tmp_path):
    models = tmp_path / "models"
    chosen = [new_run_folder(models, "bdd", SECOND) for _ in range(2)]
    reserved_run_folder(models / "bdd20260102T030405")
    reserved = [reserved_run_folder(folder) for folder in chosen]
    assert [folder.name[3:] for folder in reserved] == ["20260102T030405_2", "20260102T030405_3"]
    assert all(folder.is_dir() for folder in reserved)
    assert new_run_folder(models, "bdd", SECOND).name == "bdd20260102T030405_4"


def test_parents_of_a_run_folder_are_created(tmp_path):
    folder = new_run_folder(tmp_path / "some" / "models", "bdd", SECOND)
    assert reserved_run_folder(folder) == folder
    assert folder.is_dir()


def test_training_does_not_use_a_folder_reserved_by_another_process(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    chosen = reserved_run_folder(Path(model.log_dir))
    model.reserve_log_dir()
    assert model.log_dir == f"{chosen}_2"
    assert Path(model.checkpoint_path).parent == Path(model.log_dir)
    model.reserve_log_dir()  # a second stage goes on in it
    assert model.log_dir == f"{chosen}_2"


def test_a_script_may_create_the_folder_for_its_own_files(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    chosen = Path(model.log_dir)
    chosen.mkdir()
    (chosen / "notes.csv").touch()
    model.reserve_log_dir()
    assert model.log_dir == str(chosen)
