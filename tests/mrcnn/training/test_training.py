"""The training loop: epochs, checkpoints, resuming, stopping; with a network of a few thousand weights."""

import errno
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn.data.augmentation import Augmentation
from mrcnn.model import MaskRCNN
from mrcnn.training import TrainingDiverged, TrainingInterrupted, layers_regex, train
from mrcnn.training import loop as training_loop
from mrcnn.training.checkpoints import STATE_FILE, TrainingState, newest_run, read_state, write_state
from mrcnn.training.optimizers import build_optimizer
from mrcnn.training.schedule import LearningRateSchedule
from mrcnn.weights.atomic import MARGIN, remove_leftovers
from tests.mrcnn.street import Squares, TinyConfig

AUGMENTATION = Augmentation(flip=0.5, brightness=0.2)
PARTS = ("rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss", "l2_loss")


class SgdConfig(TinyConfig):
    OPTIMIZER = "sgd"
    LEARNING_RATE_SCHEDULE = "cosine"
    WARMUP_STEPS = 2


def model(folder, config=None):
    keras.utils.set_random_seed(3)
    return MaskRCNN("training", config or TinyConfig(), folder)


def learn(mask_rcnn, epochs, layers="all", **others):
    return train(mask_rcnn, Squares(8), Squares(3), 0.002, epochs, layers, AUGMENTATION, **others)


class StopAt(keras.callbacks.Callback):
    """Sends SIGINT twice after a number of batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


def test_losses_are_sums_of_their_parts_and_files_are_written(tmp_path, capsys):
    trained = model(tmp_path, SgdConfig())
    before = [np.array(v) for v in trained.keras_model.trainable_variables]
    result = learn(trained, 2)
    assert [row["epoch"] for row in result.history] == [1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert [line[:19] for line in lines] == ["epoch 1 of 2: loss ", "epoch 2 of 2: loss "]  # no terminal, no bar
    curves = trained.keras_model.history.history
    assert curves["val_loss"] == [row["val_loss"] for row in result.history]
    for row in result.history:
        assert row["loss"] == pytest.approx(sum(row[part] for part in PARTS), rel=1e-5)
        assert row["val_loss"] == pytest.approx(sum(row[f"val_{part}"] for part in PARTS), rel=1e-5)
    assert [path.name for path in sorted(result.log_dir.glob("*.h5"))] == [
        "mask_rcnn_tiny_0001.h5",
        "mask_rcnn_tiny_0002.h5",
        STATE_FILE,
    ]
    assert list(result.log_dir.glob("events.out.tfevents.*"))
    assert trained.epoch == 2
    assert trained.find_last() == str(result.last_checkpoint)
    assert any((np.array(v) != b).any() for v, b in zip(trained.keras_model.trainable_variables, before, strict=True))
    again = model(tmp_path, SgdConfig())
    again.load_weights(trained.find_last(), by_name=True)
    assert again.epoch == 2
    with pytest.warns(UserWarning, match="nothing is trained: this model has finished 2 epochs"):
        learn(again, 2)


@pytest.fixture
def deterministic():
    yield
    from tensorflow.python.framework import config  # TensorFlow offers no public way back

    config.disable_op_determinism()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})


@pytest.mark.usefixtures("deterministic")
def test_a_resumed_run_equals_one_that_was_not_stopped(tmp_path, caplog):
    config = SgdConfig()
    config.DETERMINISTIC = True
    unbroken = model(tmp_path / "whole", config)
    whole = learn(unbroken, 2)
    caplog.set_level(logging.WARNING)
    warnings.filterwarnings("error", "nothing is trained")
    with pytest.raises(TrainingInterrupted, match="stopped after step 5"):
        learn(model(tmp_path / "broken", config), 2, custom_callbacks=[StopAt(5)])
    assert "still writing" in caplog.text
    resumed, steps = model(tmp_path / "broken", config), []
    assert len(learn(resumed, 1, "heads", resume=True).history) == 1  # reached before: nothing to do
    assert "nothing is trained" not in caplog.text
    result = learn(resumed, 2, resume=True, on_step=lambda done, total, logs: steps.append((done, total)))
    assert steps == [(6, 6)]
    pairs = zip(result.history, whole.history, strict=True)
    assert all({**ours, "seconds": 0} == {**theirs, "seconds": 0} for ours, theirs in pairs)
    for ours, theirs in zip(resumed.keras_model.variables, unbroken.keras_model.variables, strict=True):
        assert np.array_equal(np.array(ours), np.array(theirs)), ours.path


def test_a_state_of_another_configuration_is_refused(tmp_path):
    written = model(tmp_path)
    written.keras_model.compile(optimizer="adam")
    folder = tmp_path / "tiny20260101T000000"
    folder.mkdir()
    write_state(folder, TrainingState(3, 1, "all", 1, 0, 7), written.keras_model)
    other = TinyConfig()
    other.MASK_CHANNELS = 12
    with pytest.raises(ValueError, match="the configuration differs from that"):
        learn(model(tmp_path, other), 2, resume=True)


def test_early_stopping_keeps_the_best_and_the_last(tmp_path, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.5, 1.0])
    monkeypatch.setattr(training_loop.Loop, "_validate", lambda loop: {"val_loss": next(losses)})
    result = learn(model(tmp_path), 9, early_stopping=2, keep="best")
    assert result.stopped_early
    assert len(result.history) == 4
    assert result.best_checkpoint.name == "mask_rcnn_tiny_0002.h5"
    assert sorted(path.name for path in result.log_dir.glob("mask_*")) == [
        "mask_rcnn_tiny_0002.h5",
        "mask_rcnn_tiny_0004.h5",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_validation_sees_each_image_once_however_many_steps_are_asked_for():
    loader = SimpleNamespace(dataset=SimpleNamespace(image_ids=range(5)), batch_size=2)
    config = SimpleNamespace(VALIDATION_STEPS=10**9)
    steps = [training_loop._validation_steps(loader, config, asked) for asked in (None, 10**9, 2)]
    assert steps == [3, 3, 2]


def test_the_last_epoch_is_always_validated(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    result = learn(model(tmp_path), 1, keep="best", validate_every=5)
    assert "val_loss" in result.history[-1]
    assert result.best_checkpoint == result.last_checkpoint
    assert "3/3" in sys.stderr.getvalue()
    assert "epoch 1 of 1: loss" in sys.stderr.getvalue()
    assert result.best_checkpoint.is_file()


def test_the_best_weights_are_kept_until_the_state_refers_to_better_ones(tmp_path, monkeypatch):
    losses = iter([3.0, 2.0])
    monkeypatch.setattr(training_loop.Loop, "_validate", lambda loop: {"val_loss": next(losses)})
    states = []

    def recorded(folder, state, trained):
        on_disk = sorted(path.name for path in folder.glob("mask_*"))
        states.append((state.best_epoch, on_disk))
        return folder / STATE_FILE

    monkeypatch.setattr(training_loop, "write_state", recorded)
    learn(model(tmp_path), 2, keep="best")
    assert states == [(1, ["mask_rcnn_tiny_0001.h5"]), (2, ["mask_rcnn_tiny_0001.h5", "mask_rcnn_tiny_0002.h5"])]
    assert [path.name for path in tmp_path.rglob("mask_*")] == ["mask_rcnn_tiny_0002.h5"]


def nothing():
    return SimpleNamespace(variables=[], metrics=[], optimizer=SimpleNamespace(variables=[]))


def test_a_full_disk_does_not_change_the_existing_state(tmp_path, monkeypatch):
    write_state(tmp_path, TrainingState(3, 1, "all", 1, 0, 7), nothing())
    large = SimpleNamespace(**{**vars(nothing()), "variables": [keras.Variable(np.zeros((1 << 20,), np.float32))]})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=(4 << 20) + MARGIN - 1))
    with pytest.raises(OSError, match="No space left") as error:
        write_state(tmp_path, TrainingState(6, 2, "all", 2, 0, 7), large)
    assert error.value.errno == errno.ENOSPC
    assert read_state(tmp_path).epoch == 1
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=(4 << 20) + MARGIN))
    assert write_state(tmp_path, TrainingState(6, 2, "all", 2, 0, 7), large).stat().st_size < (4 << 20) + MARGIN


def test_a_full_disk_while_writing_tensorboard_s_file_raises_oserror(tmp_path, monkeypatch):
    def fail(folder):
        raise tf.errors.ResourceExhaustedError(None, None, f"{folder}/events; No space left on device")

    monkeypatch.setattr(tf.summary, "create_file_writer", fail)
    with pytest.raises(OSError, match="No space left") as error:
        learn(model(tmp_path), 1)
    assert error.value.errno == errno.ENOSPC


def test_temporary_files_of_ended_processes_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for writer in (dead.pid, os.getppid()):
        (tmp_path / f".training_state.{writer}.part.h5").touch()
        (tmp_path / f".mask_rcnn_tiny_0001.{writer}.part.h5").touch()
    (tmp_path / ".mine.part.h5").touch()
    remove_leftovers(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(
        [".mine.part.h5", *(f".{name}.{os.getppid()}.part.h5" for name in ("training_state", "mask_rcnn_tiny_0001"))]
    )


def test_a_loss_that_is_not_finite_stops_training_and_is_named(tmp_path):
    trained = model(tmp_path)
    kernel = trained.keras_model.get_layer("mrcnn_class_logits").kernel
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    with pytest.raises(TrainingDiverged, match=r"step 1: mrcnn_class_loss is not finite"):
        learn(trained, 1)
    assert not list((tmp_path).rglob("*.h5"))


def test_a_damaged_image_stops_training_and_is_named(tmp_path):
    class Broken(Squares):
        def encoded_image(self, image_id):
            return b"no image"

    with pytest.raises(ValueError, match=r"image '\d.png' of 'squares': this is not an image"):
        train(model(tmp_path), Broken(4), None, 0.001, 1, "all")


def test_errors_name_invalid_arguments(tmp_path):
    trained = model(tmp_path)
    with pytest.raises(ValueError, match="keep='some'"):
        learn(trained, 1, keep="some")
    trained.config.STEPS_PER_EPOCH = 5 / 2
    with pytest.raises(ValueError, match=r"STEPS_PER_EPOCH is 2\.5; it must be a whole number from 1: divide by //"):
        learn(trained, 1)
    with pytest.raises(ValueError, match="neither heads"):
        layers_regex("(")
    with pytest.raises(ValueError, match="mode 'inference'"):
        learn(SimpleNamespace(mode="inference"), 1)


def test_the_learning_rate_rises_then_falls_along_a_cosine():
    schedule = LearningRateSchedule(1.0, "cosine", warmup_steps=4, first_step=10, last_step=30)
    rates = [schedule(step) for step in range(10, 30)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[12] == pytest.approx(0.01 + 0.99 * 0.5)
    assert 0.01 < rates[-1] < 0.03
    assert schedule(99) == pytest.approx(0.01)
    assert not LearningRateSchedule(0.1).changes


def test_an_unknown_schedule_or_optimizer_is_named():
    with pytest.raises(ValueError, match="'steps'"):
        LearningRateSchedule(1.0, "steps")
    with pytest.raises(ValueError, match="'lion'"):
        build_optimizer(SimpleNamespace(OPTIMIZER="lion", GRADIENT_CLIP_NORM=5.0), 0.1)


def test_gradients_are_clipped_as_one_vector():
    config = TinyConfig()
    config.OPTIMIZER, config.GRADIENT_CLIP_NORM = "sgd", 5.0
    optimizer = build_optimizer(config, 1.0, momentum=0.0)
    first, second = keras.Variable([0.0]), keras.Variable([0.0])
    optimizer.apply([np.array([30.0], "float32"), np.array([40.0], "float32")], [first, second])
    assert np.allclose([first[0], second[0]], [-3, -4])


def test_the_newest_run_is_one_of_exactly_this_name(tmp_path):
    for name in ("bdd20260101T000000", "bdd20260102T000000", "bdd220990101T000000", "other20990101T000000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / STATE_FILE).touch()
    (tmp_path / "bdd20990101T000000").mkdir()
    assert newest_run(tmp_path, "bdd").name == "bdd20260102T000000"
    assert newest_run(tmp_path, "absent") is None


def test_the_error_for_a_damaged_state_says_what_to_do(tmp_path):
    (tmp_path / STATE_FILE).write_bytes(b"cut")
    with pytest.raises(ValueError, match="delete it to start again"):
        read_state(tmp_path)
    assert read_state(tmp_path / "absent") is None


def curve(folder, threads, how):
    command = [sys.executable, "-m", "tests.mrcnn.loss_curve", str(folder), str(threads), how]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.soak
def test_a_seed_determines_the_losses_for_any_number_of_threads_and_after_resuming(tmp_path):
    once = json.loads(curve(tmp_path / "once", 1, "whole"))
    assert len(once["curve"]) == 3
    assert json.loads(curve(tmp_path / "again", 3, "whole")) == once
    assert curve(tmp_path / "broken", 2, "stopped") == ""
    resumed = json.loads(curve(tmp_path / "broken", 1, "resumed"))
    assert (once["begun"], resumed["begun"]) == ([0, 1, 2], [1, 2])
    assert resumed["curve"] == once["curve"]
