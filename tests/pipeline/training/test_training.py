"""When a training goes on from what an earlier call left, when it begins anew, and what it says of what it can't do."""

import logging
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from mrcnn.training.checkpoints import STATE_FILE, TrainingState, write_state
from pipeline import training
from pipeline.errors import ArchiveError, PipelineError, RecipeError, TrainingError
from pipeline.recipe import Recipe
from pipeline.training import model_file
from pipeline.training import run as training_run
from tests.pipeline.small_datasets import entry, numbered, square, squares, write
from tests.pipeline.weights_files import tiny


@pytest.fixture
def dataset(tmp_path):
    return squares(tmp_path / "images.zip")


def begun(run: Path, chosen: Recipe, dataset: Path, state: bool = True) -> Path:
    """Leave what a call leaves that was killed after an epoch, or before."""
    nothing = SimpleNamespace(variables=[], metrics=[], optimizer=SimpleNamespace(variables=[]))
    with training_run.opened(run, training_run.planned(chosen, dataset)) as goes_on:
        assert not goes_on
        (run / "events.out.tfevents.1").touch()
        if state:
            write_state(run, TrainingState(1, 1, "all", 1, 0, 2019), nothing)
    return run


def goes_on(run: Path, chosen: Recipe, dataset: Path) -> bool:
    with training_run.opened(run, training_run.planned(chosen, dataset)) as answer:
        assert answer == (run / STATE_FILE).is_file()
        assert answer == (run / "events.out.tfevents.1").is_file()
        return answer


def test_the_same_training_goes_on_wherever_its_dataset_lies_and_on_any_threads(tmp_path, dataset):
    run = begun(tmp_path / "run", tiny(), dataset)
    moved = shutil.copyfile(dataset, tmp_path / "elsewhere.zip")
    assert goes_on(run, tiny(threads=3, strategy="one_device"), moved)


def test_another_recipe_begins_anew_and_says_why(tmp_path, dataset, caplog):
    caplog.set_level(logging.INFO)
    run = begun(tmp_path / "run", tiny(), dataset)
    assert not goes_on(run, tiny(learning_rate=0.5), dataset)
    assert "recipe key training.learning_rate: 0.001 → 0.5" in caplog.text
    assert not goes_on(run, tiny(), dataset)


def test_another_dataset_of_the_same_name_begins_anew(tmp_path, dataset, caplog):
    caplog.set_level(logging.INFO)
    run = begun(tmp_path / "run", tiny(), dataset)
    squares(dataset, images=4)
    assert not goes_on(run, tiny(), dataset)
    assert "input dataset_zip" in caplog.text


def test_other_starting_weights_of_the_same_name_begin_anew(tmp_path, dataset):
    given = tmp_path / "given.h5"
    given.write_bytes(b"one")
    run = begun(tmp_path / "run", tiny(weights=str(given)), dataset)
    assert goes_on(run, tiny(weights=str(given)), dataset)
    given.write_bytes(b"another")
    assert not goes_on(run, tiny(weights=str(given)), dataset)


def test_without_a_state_that_can_be_read_training_begins_anew(tmp_path, dataset, caplog):
    caplog.set_level(logging.INFO)
    run = begun(tmp_path / "run", tiny(), dataset, state=False)
    assert not goes_on(run, tiny(), dataset)
    assert "stopped before it had written a state" in caplog.text
    (run / STATE_FILE).write_bytes(b"cut")
    assert not goes_on(run, tiny(), dataset)
    assert "can't be read" in caplog.text


def test_a_state_that_can_t_be_read_just_now_is_kept(tmp_path, dataset):
    run = begun(tmp_path / "run", tiny(), dataset)
    holder = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(run / STATE_FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(TrainingError, match="can't be read now"):
            goes_on(run, tiny(), dataset)
        process.communicate(b"")
    assert goes_on(run, tiny(), dataset)


def test_a_fault_leaves_a_folder_only_where_there_is_something_to_go_on_from(tmp_path, dataset):
    made_from = training_run.planned(tiny(), dataset)
    for state in (False, True):
        run = begun(tmp_path / "run", tiny(), dataset, state)
        with pytest.raises(PipelineError), training_run.opened(run, made_from):
            raise PipelineError
        assert run.exists() == state


def png(garbled: bool) -> bytes:
    """Return a PNG of 160 × 90 with whole chunks; garbled, its pixels can't be unpacked."""
    import io

    import numpy as np
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.full((90, 160, 3), 90, np.uint8)).save(content, "PNG")
    whole = content.getvalue()
    start = whole.index(b"IDAT") + 4
    length = int.from_bytes(whole[start - 8 : start - 4], "big")
    pixels = b"\xff" * length if garbled else whole[start : start + length]
    crc = zlib.crc32(b"IDAT" + pixels).to_bytes(4, "big")
    return whole[:start] + pixels + crc + whole[start + length + 4 :]


def test_an_image_whose_pixels_are_damaged_is_named_and_leaves_nothing_behind(tmp_path):
    names = ("sound.png", "garbled.png")
    regions = numbered([square(10, 20, 40, "car"), square(100, 30, 24, "sign")])
    labels = {f"{name}-1": entry(name, regions, width=160, height=90) for name in names}
    images = {f"train/{name}": png(name == "garbled.png") for name in names}
    dataset = write(tmp_path / "images.zip", {"train": labels}, images)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ArchiveError, match=r"images\.zip: image 'garbled\.png' of 'via': this is not an image") as told:
        training.build(tiny(steps_per_epoch=4), dataset, out)
    assert "\n" not in str(told.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": [{"layers": "heads", "epochs": 1}, {"layers": "res9.*", "epochs": 1}]}, "training.stages.1.layers"),
        ({"config": {"RPN_CHANNELS": -1}}, "training.config: .*RPN_CHANNELS"),
    ],
)
def test_what_no_network_can_have_is_said_before_training_and_names_its_key(tmp_path, dataset, changes, words):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RecipeError, match=words):
        training.build(tiny(**changes), dataset, out)
    assert list(out.iterdir()) == []


def test_the_recipe_s_threads_load_the_images_and_are_no_part_of_the_model(tmp_path):
    config = model_file.config_for_training(tiny(threads=3), ("car",), 1, 1)
    assert config.LOADER_THREADS == 3
    model_file.write(tmp_path, config, ("car",))
    assert "LOADER_THREADS" not in (tmp_path / "model.json").read_text()


@pytest.mark.parametrize(
    ("strategy", "batch", "gpus", "used"),
    [
        ("mirrored", 1, 4, 1),
        ("mirrored", 5, 2, 1),
        ("mirrored", 6, 4, 3),
        ("auto", 8, 4, 4),
        ("auto", 2, 1, 1),
        ("mirrored", 2, 0, 1),
        ("one_device", 8, 4, 1),
    ],
)
def test_a_batch_stays_as_large_as_the_recipe_says_on_any_number_of_devices(strategy, batch, gpus, used, caplog):
    caplog.set_level(logging.INFO)
    chosen = tiny(strategy=strategy, batch_size=batch)
    assert training._devices(chosen.training, gpus) == used
    config = model_file.config_for_training(chosen, ("car",), used, 1)
    assert batch == config.BATCH_SIZE
    assert (f"{used} of {gpus} GPUs" in caplog.text) == (used < gpus and strategy != "one_device")
