"""When a training is resumed from what an earlier call left, and when it begins anew."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mrcnn.training.checkpoints import STATE_FILE, TrainingState, write_state
from pipeline.errors import PipelineError, TrainingError
from pipeline.recipe import Recipe
from pipeline.training.run import opened, planned
from tests.pipeline.small_datasets import squares
from tests.pipeline.weights_files import tiny

EVENTS = "events.out.tfevents.1"


@pytest.fixture
def dataset(tmp_path):
    return squares(tmp_path / "images.zip")


@pytest.fixture(autouse=True)
def all_messages(caplog):
    caplog.set_level(logging.INFO)


def begun(dataset: Path, chosen: Recipe | None = None, state: bool = True) -> Path:
    """Leave beside the dataset what a call leaves that was killed after an epoch, or before; return its folder."""
    run = dataset.with_name("run")
    nothing = SimpleNamespace(variables=[], metrics=[], optimizer=SimpleNamespace(variables=[]))
    with opened(run, planned(chosen or tiny(), dataset)) as resumed:
        assert not resumed
        (run / EVENTS).touch()
        if state:
            write_state(run, TrainingState(1, 1, "all", 1, 0, 2019), nothing)
    return run


def resumes(run: Path, chosen: Recipe, dataset: Path) -> bool:
    with opened(run, planned(chosen, dataset)) as resumed:
        assert resumed == (run / STATE_FILE).is_file() == (run / EVENTS).is_file()
        return resumed


def test_the_same_training_is_resumed_wherever_its_dataset_lies_and_on_any_threads(tmp_path, dataset):
    run = begun(dataset)
    moved = shutil.copyfile(dataset, tmp_path / "elsewhere.zip")
    assert resumes(run, tiny(threads=3, strategy="one_device"), moved)


def test_another_recipe_begins_anew_with_the_reason(dataset, caplog):
    run = begun(dataset)
    assert not resumes(run, tiny(learning_rate=0.5), dataset)
    assert "recipe key training.learning_rate: 0.001 → 0.5" in caplog.text
    assert not resumes(run, tiny(), dataset)


def test_another_dataset_of_the_same_name_begins_anew(dataset, caplog):
    run = begun(dataset)
    squares(dataset, images=4)
    assert not resumes(run, tiny(), dataset)
    assert "input dataset_zip" in caplog.text


def test_other_starting_weights_of_the_same_name_begin_anew(tmp_path, dataset):
    given = tmp_path / "given.h5"
    given.write_bytes(b"one")
    run = begun(dataset, tiny(weights=str(given)))
    assert resumes(run, tiny(weights=str(given)), dataset)
    given.write_bytes(b"another")
    assert not resumes(run, tiny(weights=str(given)), dataset)


def test_without_a_state_that_can_be_read_training_begins_anew(dataset, caplog):
    run = begun(dataset, state=False)
    assert not resumes(run, tiny(), dataset)
    assert "stopped before it had written a state" in caplog.text
    (run / STATE_FILE).write_bytes(b"cut")
    assert not resumes(run, tiny(), dataset)
    assert "can't be read" in caplog.text


def test_a_state_that_can_t_be_read_just_now_is_kept(dataset):
    run = begun(dataset)
    holder = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(run / STATE_FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(TrainingError, match="can't be read now"):
            resumes(run, tiny(), dataset)
        process.communicate(b"")
    assert resumes(run, tiny(), dataset)


@pytest.mark.parametrize("state", [False, True])
def test_a_fault_leaves_a_folder_only_where_there_is_a_state_to_resume(dataset, state):
    run = begun(dataset, state=state)
    with pytest.raises(PipelineError), opened(run, planned(tiny(), dataset)):
        raise PipelineError
    assert run.exists() == state
