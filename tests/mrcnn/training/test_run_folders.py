"""Which file is the last checkpoint of which run."""

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


SECOND = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def test_two_models_of_one_second_have_two_folders_and_neither_exists(tmp_path):
    first, second = (new_run_folder(tmp_path, "BDD", SECOND) for _ in range(2))
    assert first.name == "bdd20260102T030405"
    assert second.name == "bdd20260102T030405_2"
    assert checkpoint_of(second / "mask_rcnn_bdd_0003.h5", "bdd").epoch == 3
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_process_made_since_it_was_chosen_is_not_shared(tmp_path):
    models = tmp_path / "models"
    chosen = [new_run_folder(models, "bdd", SECOND) for _ in range(2)]
    reserved_run_folder(models / "bdd20260102T030405")
    reserved = [reserved_run_folder(folder) for folder in chosen]
    assert [folder.name[3:] for folder in reserved] == ["20260102T030405_2", "20260102T030405_3"]
    assert all(folder.is_dir() for folder in reserved)
    assert new_run_folder(models, "bdd", SECOND).name == "bdd20260102T030405_4"


def test_a_run_s_folder_is_created_with_those_above_it(tmp_path):
    folder = new_run_folder(tmp_path / "some" / "models", "bdd", SECOND)
    assert reserved_run_folder(folder) == folder
    assert folder.is_dir()


def test_a_training_that_begins_takes_no_folder_that_another_process_took(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    chosen = reserved_run_folder(Path(model.log_dir))
    model.reserve_log_dir()
    assert model.log_dir == f"{chosen}_2"
    assert Path(model.checkpoint_path).parent == Path(model.log_dir)
    model.reserve_log_dir()  # a second stage goes on in it
    assert model.log_dir == f"{chosen}_2"


def test_a_script_may_put_files_of_its_own_into_the_folder_before_it_trains(tmp_path):
    model = MaskRCNN("training", TinyConfig(), tmp_path)
    chosen = Path(model.log_dir)
    chosen.mkdir()
    (chosen / "notes.csv").touch()
    model.reserve_log_dir()
    assert model.log_dir == str(chosen)
