"""The loop over epochs and steps: validation, checkpoints, TensorBoard, early stopping, and stopping on a signal.

What is trained and from where is decided in `training`; what one step computes is in `network`.
"""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.data.batches import BatchLoader
from mrcnn.training.checkpoints import TrainingState, write_state
from mrcnn.training.interrupts import StopRequest, TrainingInterrupted
from mrcnn.training.optimizers import Schedule
from mrcnn.weights.whole_file import remove_leftovers

log = logging.getLogger(__name__)

Logs = dict[str, float]
OnStep = Callable[[int, int, Logs], None]

SECONDS_BETWEEN_STATES = 600.0
STEPS_BETWEEN_READINGS = 10
"""On a GPU, where reading a loss makes it wait; on a CPU every step is read."""


NO_SPACE = os.strerror(errno.ENOSPC)


class TrainingDiverged(ArithmeticError):  # noqa: N818
    """A loss is not a finite number; nothing was written since the last good epoch."""


@dataclass(frozen=True)
class TrainingResult:
    """What a call of `train` did."""

    history: tuple[Logs, ...]
    """A row for each finished epoch of the run: epoch (1 …), step, seconds, learning_rate, loss and its parts, and,
    where it was validated, val_loss and its parts; loss is the sum of its parts."""
    log_dir: Path
    last_checkpoint: Path | None
    best_checkpoint: Path | None
    """Of the least val_loss (loss, without validation)."""
    stopped_early: bool = False
    """By early stopping, or by a callback."""


@dataclass(frozen=True)
class Options:
    """The arguments of `train` that the loop needs, with its meanings."""

    epochs: int
    layers: str
    keep: str
    early_stopping: int | None
    validate_every: int
    on_step: OnStep | None
    validation_steps: int | None


def run_name(mask_rcnn: Any) -> str:
    """Return the name in the model's file names."""
    return mask_rcnn.config.NAME or "mask_rcnn"


def checkpoint_path(folder: Path, name: str, epoch: int) -> Path:
    """Return the path of the weights file after `epoch` epochs."""
    return folder / f"mask_rcnn_{name.lower()}_{epoch:04d}.h5"


class Loop:
    """One call of `train`, from its first step to its last."""

    def __init__(
        self,
        mask_rcnn: Any,
        options: Options,
        schedule: Schedule,
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
        import keras
        import tensorflow as tf

        from mrcnn import weights

        weights.network_tensors(self.model)  # what no file could hold is refused now, not after an epoch
        self.callbacks = keras.callbacks.CallbackList(callbacks, model=self.model)
        self.readings = STEPS_BETWEEN_READINGS if tf.config.list_logical_devices("GPU") else 1
        self.model.make_train_function(force=True)
        self.model.make_test_function(force=True)
        self.model.stop_training = False
        end = self.options.epochs * self.config.STEPS_PER_EPOCH
        with self.stop, self._faults_named(), self._board_and_loaders():
            batches = self._iterator(self.training, self.state.step, end) if self.state.step < end else iter(())
            self.callbacks.on_train_begin()
            while self.state.epoch < self.options.epochs and not self.model.stop_training:
                self._epoch(batches)
            self.callbacks.on_train_end()
        return self._result(self.state.epoch < self.options.epochs)

    def _epoch(self, batches: Iterator[Any]) -> None:
        epoch, begun = self.state.epoch, time.monotonic()
        self.callbacks.on_epoch_begin(epoch)
        if not self.state.pending:
            self._train_steps(batches, (epoch + 1) * self.config.STEPS_PER_EPOCH)
        due = (epoch + 1) % self.options.validate_every == 0 or epoch + 1 == self.options.epochs
        validated = self._validate() if due else {}
        row = {
            "epoch": float(epoch + 1),
            "step": float(self.state.step),
            "seconds": time.monotonic() - begun,
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            **self.state.pending,
            **validated,
        }
        self._finish_epoch(row)
        self.callbacks.on_epoch_end(
            epoch, {name: row[name] for name in row if name not in ("epoch", "step", "seconds")}
        )

    def _train_steps(self, batches: Iterator[Any], end: int) -> None:
        """Train up to step `end`; the losses' running means are then `pending`."""
        first = end - self.config.STEPS_PER_EPOCH
        if self.state.step <= first:
            self.model.reset_metrics()
        logs: Logs = {}
        while self.state.step < end:
            step = self.state.step
            self.callbacks.on_train_batch_begin(step - first)
            if self.schedule.changes:
                self.model.optimizer.learning_rate.assign(self.schedule(step))
            found = self.model.train_function(batches)
            self.state = replace(self.state, step=step + 1)
            if self.readings == 1 or step % self.readings == 0 or step + 1 == end:
                logs = self._read(found)
            self._after_step(step, step - first, logs)
        self.state = replace(self.state, pending=logs or self._read(self.model.get_metrics_result()))

    def _after_step(self, step: int, in_epoch: int, logs: Logs) -> None:
        if step % STEPS_BETWEEN_READINGS == 0:
            self.board.write("step_", {**logs, "learning_rate": self.schedule(step)}, step)
        self.callbacks.on_train_batch_end(in_epoch, logs)
        if self.options.on_step is not None:
            total = self.options.epochs * self.config.STEPS_PER_EPOCH - self.state.first_step
            self.options.on_step(self.state.step - self.state.first_step, total, logs)
        if time.monotonic() - self._written > SECONDS_BETWEEN_STATES:
            self._write_state()
        self._stop_if_requested()

    def _validate(self) -> Logs:
        """Return the mean losses, named val_…, over the validation batches: the same ones each time."""
        if self.validation is None:
            return {}
        self.callbacks.on_test_begin()
        self.model.reset_metrics()
        batches = self._iterator(self.validation, 0, self.validation_steps)
        found: Any = {}
        for _ in range(self.validation_steps):
            found = self.model.test_function(batches)
            self._stop_if_requested()
        logs = self._read(found)
        self.callbacks.on_test_end(logs)
        return {f"val_{name}": value for name, value in logs.items()}

    def _finish_epoch(self, row: Logs) -> None:
        """Record the epoch: weights, state, TensorBoard; and stop where nothing got better for long."""
        epoch, state = self.state.epoch + 1, self.state
        if self.validation is None or "val_loss" in row:
            value = row.get("val_loss", row["loss"])
            better = state.best_value is None or value < state.best_value
            waited = 0 if better else state.validations_since_best + 1
            best = (epoch, value) if better else (state.best_epoch, state.best_value)
            state = replace(state, best_epoch=best[0], best_value=best[1], validations_since_best=waited)
        self.state = replace(state, epoch=epoch, history=(*state.history, row), pending={})
        self._write_weights(epoch)
        self._write_state()
        self._remove_weights(epoch)  # only now: until then the state on the disk spoke of those
        self.mask_rcnn.epoch = epoch
        self.board.write("", {name: row[name] for name in row if name not in ("epoch", "step")}, epoch)
        log.info("epoch %d of %d: %s", epoch, self.options.epochs, _summary(row))
        if self.options.early_stopping and self.state.validations_since_best >= self.options.early_stopping:
            log.info("stopped early: no smaller loss than that of epoch %s", self.state.best_epoch)
            self.model.stop_training = True

    def _write_weights(self, epoch: int) -> None:
        from mrcnn import weights

        weights.save(self.model, checkpoint_path(self.folder, self.name, epoch))

    def _remove_weights(self, epoch: int) -> None:
        """Remove the weights of earlier epochs that aren't to be kept."""
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
        return TrainingInterrupted(f"stopped after step {self.state.step}; train(…, resume=True) goes on from {path}")

    def _iterator(self, loader: BatchLoader, first: int, end: int) -> Iterator[Any]:
        batches = loader.batches(first, end)
        strategy = self.model.distribute_strategy
        if strategy.num_replicas_in_sync > 1:
            batches = strategy.experimental_distribute_dataset(batches)
        return iter(batches)

    def _read(self, logs: Any) -> Logs:
        """Return `logs` as floats; TrainingDiverged where one is not finite."""
        values = {name: float(np.asarray(value)) for name, value in logs.items()}
        for name, value in values.items():
            if not np.isfinite(value):
                raise TrainingDiverged(self._diverged(f"{name} is {value}"))
        return values

    def _diverged(self, what: str) -> str:
        written = self.state.epoch
        good = f"the weights of epoch {written} are good" if written else "no epoch was finished"
        return f"step {self.state.step + 1}: {what}; try a lower learning rate, warm-up steps or float32; {good}"

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        """Replace TensorFlow's errors by what caused them: a fault of an image, or a loss that isn't finite."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            for loader in (self.training, self.validation):
                if loader is not None and loader.failure is not None:
                    raise loader.failure from None
            finite = re.search(r"(\w+ is not finite)", str(error.message))
            if finite:
                raise TrainingDiverged(self._diverged(finite[1])) from None
            if NO_SPACE in str(error.message):  # for TensorBoard's file; ours are written by Python
                raise OSError(errno.ENOSPC, NO_SPACE, str(self.folder)) from None
            raise
        except TrainingInterrupted:
            raise
        except KeyboardInterrupt:
            if self.stop.requested:  # a third signal: at once
                raise
            raise self._interrupted() from None

    @contextmanager
    def _board_and_loaders(self) -> Iterator[None]:
        """Have TensorBoard's file open; close it, and end the loaders' threads, at the end."""
        from mrcnn.training.tensorboard import Board

        self.board = Board(self.folder)
        try:
            yield
        finally:
            for loader in (self.training, self.validation):
                if loader is not None:
                    loader.close()
            self.board.close()

    def _result(self, stopped_early: bool) -> TrainingResult:
        name, best = self.name, self.state.best_epoch
        return TrainingResult(
            self.state.history,
            self.folder,
            checkpoint_path(self.folder, name, self.state.epoch),
            checkpoint_path(self.folder, name, best) if best and self.options.keep != "last" else None,
            stopped_early,
        )


def _validation_steps(loader: BatchLoader | None, config: Any, wanted: int | None) -> int:
    if loader is None:
        return 0
    all_once = -(-len(loader.dataset.image_ids) // loader.batch_size)
    return wanted if wanted is not None else min(config.VALIDATION_STEPS, all_once)


def _summary(row: Logs) -> str:
    shown = {name: row[name] for name in ("loss", "val_loss", "learning_rate") if name in row}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
