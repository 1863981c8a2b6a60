"""The training loop over epochs and steps: validation, checkpoints, early stopping."""

import errno
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from mrcnn import weights
from mrcnn.config import Config
from mrcnn.data.batches import BatchLoader
from mrcnn.training.checkpoints import TrainingState, write_state
from mrcnn.training.run_folders import checkpoint_path
from mrcnn.training.schedule import LearningRateSchedule
from mrcnn.training.stopping import StopRequest
from mrcnn.training.tensorboard_file import TensorBoardFile
from mrcnn.weights.atomic import remove_leftovers

log = logging.getLogger(__name__)

Logs = dict[str, float]
OnStep = Callable[[int, int, Logs], None]

SECONDS_BETWEEN_STATES = 600.0
STEPS_BETWEEN_READINGS = 10
"""On a GPU, which waits while losses are read; on a CPU they are read after every step."""

NO_SPACE = os.strerror(errno.ENOSPC)


class TrainingDiverged(ArithmeticError):  # noqa: N818
    """A loss is not finite; nothing was written since the last finished epoch."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by a signal, and its state was written; the message names the file."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a call of `train`."""

    history: tuple[Logs, ...]
    """A row for each finished epoch of the run: epoch (from 1), step, seconds, learning_rate, loss and its parts, and,
    if it was validated, val_loss and its parts; loss is the sum of its parts."""
    log_dir: Path
    last_checkpoint: Path | None
    best_checkpoint: Path | None
    """Of the lowest val_loss (without validation: loss)."""
    stopped_early: bool = False
    """By early stopping, or by a callback."""


@dataclass(frozen=True)
class Options:
    """Arguments of `train` that the loop uses."""

    epochs: int
    layers: str
    keep: str
    early_stopping: int | None
    validate_every: int
    on_step: OnStep | None
    validation_steps: int | None


def run_name(mask_rcnn: Any) -> str:
    """Return the name of the model in file names."""
    return mask_rcnn.config.NAME or "mask_rcnn"


class Loop:
    """One call of `train`, from its first step to its last."""

    def __init__(
        self,
        mask_rcnn: Any,
        options: Options,
        schedule: LearningRateSchedule,
        training: BatchLoader,
        validation: BatchLoader | None,
        state: TrainingState,
    ) -> None:
        self.mask_rcnn, self.options, self.schedule, self.state = mask_rcnn, options, schedule, state
        self.model, self.config = mask_rcnn.keras_model, mask_rcnn.config
        self.training, self.validation, self.name = training, validation, run_name(mask_rcnn)
        self.validation_steps = _validation_steps(validation, self.config, options.validation_steps)
        mask_rcnn.reserve_log_dir()
        self.folder = Path(mask_rcnn.log_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)
        self.stop = StopRequest()
        self._written = time.monotonic()

    def run(self, callbacks: list[Any]) -> TrainingResult:
        """Train to the last epoch."""
        weights.network_tensors(self.model)  # refuses weights that no file can hold, before the first epoch
        self.callbacks = keras.callbacks.CallbackList(callbacks, add_history=True, model=self.model)
        self.read_every = STEPS_BETWEEN_READINGS if tf.config.list_logical_devices("GPU") else 1
        self.model.make_train_function(force=True)
        self.model.make_test_function(force=True)
        self.model.stop_training = False
        end = self.options.epochs * self.config.STEPS_PER_EPOCH
        with self.stop, self._translated_errors(), self._opened_files_and_loaders():
            batches = self._iterator(self.training, self.state.step, end) if self.state.step < end else iter(())
            self.callbacks.on_train_begin()
            while self.state.epoch < self.options.epochs and not self.model.stop_training:
                self._run_epoch(batches)
            self.callbacks.on_train_end()
        return self._result(self.state.epoch < self.options.epochs)

    def _run_epoch(self, batches: Iterator[Any]) -> None:
        epoch, start = self.state.epoch, time.monotonic()
        self.callbacks.on_epoch_begin(epoch)
        if not self.state.pending:
            self._train_steps(batches, (epoch + 1) * self.config.STEPS_PER_EPOCH)
        is_due = (epoch + 1) % self.options.validate_every == 0 or epoch + 1 == self.options.epochs
        validation_logs = self._validate() if is_due else {}
        row = {
            "epoch": float(epoch + 1),
            "step": float(self.state.step),
            "seconds": time.monotonic() - start,
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            **self.state.pending,
            **validation_logs,
        }
        self._finish_epoch(row)
        self.callbacks.on_epoch_end(
            epoch, {name: row[name] for name in row if name not in ("epoch", "step", "seconds")}
        )

    def _train_steps(self, batches: Iterator[Any], end: int) -> None:
        """Train up to step `end`; set `state.pending` to the running means of the losses."""
        first = end - self.config.STEPS_PER_EPOCH
        if self.state.step <= first:
            self.model.reset_metrics()
        logs: Logs = {}
        while self.state.step < end:
            step = self.state.step
            self.callbacks.on_train_batch_begin(step - first)
            if self.schedule.changes:
                self.model.optimizer.learning_rate.assign(self.schedule(step))
            results = self.model.train_function(batches)
            self.state = replace(self.state, step=step + 1)
            if self.read_every == 1 or step % self.read_every == 0 or step + 1 == end:
                logs = self._finite_floats(results)
            self._after_step(step, step - first, logs)
        self.state = replace(self.state, pending=logs or self._finite_floats(self.model.get_metrics_result()))

    def _after_step(self, step: int, step_of_epoch: int, logs: Logs) -> None:
        if step % STEPS_BETWEEN_READINGS == 0:
            self.tensorboard.write("step_", {**logs, "learning_rate": self.schedule(step)}, step)
        self.callbacks.on_train_batch_end(step_of_epoch, logs)
        if "loss" in logs:
            self.bar.set_postfix_str(f"loss {logs['loss']:.4g}", refresh=False)
        self.bar.update()
        if self.options.on_step is not None:
            total = self.options.epochs * self.config.STEPS_PER_EPOCH - self.state.first_step
            self.options.on_step(self.state.step - self.state.first_step, total, logs)
        if time.monotonic() - self._written > SECONDS_BETWEEN_STATES:
            self._write_state()
        self._stop_if_requested()

    def _validate(self) -> Logs:
        """Return the mean losses, named val_…, over the validation batches, which are the same each time."""
        if self.validation is None:
            return {}
        self.callbacks.on_test_begin()
        self.model.reset_metrics()
        batches = self._iterator(self.validation, 0, self.validation_steps)
        results: Any = {}
        for _ in range(self.validation_steps):
            results = self.model.test_function(batches)
            self._stop_if_requested()
        logs = self._finite_floats(results)
        self.callbacks.on_test_end(logs)
        return {f"val_{name}": value for name, value in logs.items()}

    def _finish_epoch(self, row: Logs) -> None:
        """Write weights, state and TensorBoard's curves of an epoch; apply early stopping."""
        epoch, state = self.state.epoch + 1, self.state
        if self.validation is None or "val_loss" in row:
            value = row.get("val_loss", row["loss"])
            is_better = state.best_value is None or value < state.best_value
            since_best = 0 if is_better else state.validations_since_best + 1
            best = (epoch, value) if is_better else (state.best_epoch, state.best_value)
            state = replace(state, best_epoch=best[0], best_value=best[1], validations_since_best=since_best)
        self.state = replace(state, epoch=epoch, history=(*state.history, row), pending={})
        weights.save(self.model, checkpoint_path(self.folder, self.name, epoch))
        self._write_state()
        self._remove_weights(epoch)  # only now: the previous state referred to them
        self.mask_rcnn.epoch = epoch
        self.tensorboard.write("", {name: row[name] for name in row if name not in ("epoch", "step")}, epoch)
        self._report(f"epoch {epoch} of {self.options.epochs}: {_summary(row)}")
        if self.options.early_stopping and self.state.validations_since_best >= self.options.early_stopping:
            self._report(f"stopped early: no smaller loss than that of epoch {self.state.best_epoch}")
            self.model.stop_training = True

    def _report(self, line: str) -> None:
        """Log a line, or print it where the caller shows no progress of its own."""
        if self.options.on_step is not None:
            log.info("%s", line)
        else:
            tqdm.write(line, file=sys.stderr)

    def _remove_weights(self, epoch: int) -> None:
        """Remove the weights of earlier epochs that `keep` does not retain."""
        if self.options.keep == "all":
            return
        kept = {epoch, self.state.best_epoch} if self.options.keep == "best" else {epoch}
        for earlier in {int(row["epoch"]) for row in self.state.history} - kept:
            checkpoint_path(self.folder, self.name, earlier).unlink(missing_ok=True)

    def _write_state(self) -> Path:
        self._written = time.monotonic()
        return write_state(self.folder, self.state, self.model)

    def _stop_if_requested(self) -> None:
        if self.stop.requested:
            raise self._interrupted()

    def _interrupted(self) -> TrainingInterrupted:
        path = self._write_state()
        return TrainingInterrupted(f"stopped after step {self.state.step}; train(…, resume=True) continues from {path}")

    def _iterator(self, loader: BatchLoader, first: int, end: int) -> Iterator[Any]:
        batches = loader.batches(first, end)
        strategy = self.model.distribute_strategy
        if strategy.num_replicas_in_sync > 1:
            batches = strategy.experimental_distribute_dataset(batches)
        return iter(batches)

    def _finite_floats(self, logs: Any) -> Logs:
        """Return `logs` as floats.

        Raises:
            TrainingDiverged: a value is not finite.
        """
        values = {name: float(np.asarray(value)) for name, value in logs.items()}
        for name, value in values.items():
            if not np.isfinite(value):
                raise self._diverged(f"{name} is {value}")
        return values

    def _diverged(self, fault: str) -> TrainingDiverged:
        epoch = self.state.epoch
        last_good = f"the weights of epoch {epoch} are good" if epoch else "no epoch was finished"
        advice = "try a lower learning rate, warm-up steps or float32"
        return TrainingDiverged(f"step {self.state.step + 1}: {fault}; {advice}; {last_good}")

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Replace TensorFlow's errors by their causes: an unreadable image, a loss that is not finite, a full disk."""
        try:
            yield
        except tf.errors.OpError as error:
            for loader in (self.training, self.validation):
                if loader is not None and loader.failure is not None:
                    raise loader.failure from None
            not_finite = re.search(r"(\w+ is not finite)", str(error.message))
            if not_finite:
                raise self._diverged(not_finite[1]) from None
            if NO_SPACE in str(error.message):  # for TensorBoard's file, the only one that TensorFlow writes
                raise OSError(errno.ENOSPC, NO_SPACE, str(self.folder)) from None
            raise
        except TrainingInterrupted:
            raise
        except KeyboardInterrupt:
            if self.stop.requested:  # the third signal
                raise
            raise self._interrupted() from None

    @contextmanager
    def _opened_files_and_loaders(self) -> Iterator[None]:
        """Open TensorBoard's file and the progress bar; on exit, close both and end the loaders' threads."""
        self.tensorboard = TensorBoardFile(self.folder)
        hidden = self.options.on_step is not None or not sys.stderr.isatty()
        total = self.options.epochs * self.config.STEPS_PER_EPOCH
        self.bar = tqdm(total=total, initial=self.state.step, desc="training", unit="step", disable=hidden)
        try:
            yield
        finally:
            for loader in (self.training, self.validation):
                if loader is not None:
                    loader.close()
            self.bar.close()
            self.tensorboard.close()

    def _result(self, stopped_early: bool) -> TrainingResult:
        best = self.state.best_epoch if self.options.keep != "last" else None
        return TrainingResult(
            self.state.history,
            self.folder,
            checkpoint_path(self.folder, self.name, self.state.epoch),
            checkpoint_path(self.folder, self.name, best) if best else None,
            stopped_early,
        )


def _validation_steps(loader: BatchLoader | None, config: Config, steps: int | None) -> int:
    if loader is None:
        return 0
    batches_of_all_images = -(-len(loader.dataset.image_ids) // loader.batch_size)
    return min(config.VALIDATION_STEPS if steps is None else steps, batches_of_all_images)


def _summary(row: Logs) -> str:
    values = {name: row[name] for name in ("loss", "val_loss", "learning_rate") if name in row}
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
