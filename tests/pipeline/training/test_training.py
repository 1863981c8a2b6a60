"""How the stage reports faults of images and settings, and which devices share a batch."""

import io
import logging
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline import training
from pipeline.errors import ArchiveError, PipelineError, RecipeError
from pipeline.recipe.sections import Training
from pipeline.training import model_file
from tests.pipeline.small_datasets import entry, numbered, square, squares, write
from tests.pipeline.weights_files import tiny


@pytest.fixture
def out(tmp_path):
    """Return the folder of the stage, empty."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def png(garbled: bool) -> bytes:
    """Return a PNG of 160 × 90 with whole chunks; garbled, its pixels can't be unpacked."""
    content = io.BytesIO()
    Image.fromarray(np.full((90, 160, 3), 90, np.uint8)).save(content, "PNG")
    whole = content.getvalue()
    start = whole.index(b"IDAT") + 4
    length = int.from_bytes(whole[start - 8 : start - 4], "big")
    pixels = b"\xff" * length if garbled else whole[start : start + length]
    crc = zlib.crc32(b"IDAT" + pixels).to_bytes(4, "big")
    return whole[:start] + pixels + crc + whole[start + length + 4 :]


def test_an_image_whose_pixels_are_damaged_is_named_and_leaves_nothing_behind(tmp_path, out):
    names = ("sound.png", "garbled.png")
    regions = numbered([square(10, 20, 40, "car"), square(100, 30, 24, "sign")])
    labels = {f"{name}-1": entry(name, regions, width=160, height=90) for name in names}
    images = {f"train/{name}": png(name == "garbled.png") for name in names}
    dataset = write(tmp_path / "images.zip", {"train": labels}, images)
    with pytest.raises(
        ArchiveError, match=r"images\.zip: image 'garbled\.png' of 'via': this is not an image"
    ) as refusal:
        training.build(tiny(steps_per_epoch=4), dataset, out)
    assert "\n" not in str(refusal.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": [{"layers": "heads", "epochs": 1}, {"layers": "res9.*", "epochs": 1}]}, "training.stages.1.layers"),
        ({"config": {"RPN_CHANNELS": -1}}, "training.config: .*RPN_CHANNELS"),
    ],
)
def test_settings_that_no_network_can_have_are_refused_by_their_key_before_training(tmp_path, out, changes, words):
    with pytest.raises(RecipeError, match=words):
        training.build(tiny(**changes), squares(tmp_path / "images.zip"), out)
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


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"batch_size": 4, "max_dim": 1024},
            "4 images of up to 1024 pixels a side: set training.batch_size to 2 or tr",
        ),
        ({"batch_size": 1, "min_dim": 576, "max_dim": 1024}, "set training.min_dim to 384 and max_dim to 768 or train"),
        ({"batch_size": 2, "precision": "bfloat16"}, "set training.batch_size to 1, and run it again"),
    ],
)
def test_where_the_memory_is_used_up_the_sentence_has_what_to_lower(settings, words):
    assert words in training.less_memory(Training(**settings))


def test_memory_that_is_used_up_in_training_is_one_sentence(tmp_path, out, monkeypatch):
    def fail(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[2,256,256,256]")

    monkeypatch.setattr(training, "_train", fail)
    with pytest.raises(
        PipelineError, match="training: the memory of the GPU or of this machine is used up; a step has 2"
    ):
        training.build(tiny(batch_size=2), squares(tmp_path / "images.zip"), out)
