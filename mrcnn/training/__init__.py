"""Training: `train` selects the layers, resumes a state or starts, and runs the loop."""

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from mrcnn.config import Config
from mrcnn.data.batches import BatchLoader
from mrcnn.data.dataset import Dataset
from mrcnn.ops.gradients import enable_determinism
from mrcnn.training.checkpoints import TrainingState, newest_run, read_state, restore_variables
from mrcnn.training.loop import Loop, OnStep, Options, TrainingDiverged, TrainingInterrupted, TrainingResult, run_name
from mrcnn.training.optimizers import build_optimizer
from mrcnn.training.run_folders import checkpoint_path
from mrcnn.training.schedule import LearningRateSchedule

log = logging.getLogger(__name__)

__all__ = [
    "LAYERS", "LearningRateSchedule", "TrainingDiverged", "TrainingInterrupted", "TrainingResult", "layers_regex",
    "train",
]  # fmt: skip

_HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"
LAYERS = {
    "heads": _HEADS,
    "3+": rf"(res3.*)|(bn3.*)|(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|{_HEADS}",
    "4+": rf"(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|{_HEADS}",
    "5+": rf"(res5.*)|(bn5.*)|{_HEADS}",
    "all": ".*",
}
"""Names of sets of layers, with their regular expressions over layer names."""


def train(  # noqa: PLR0913  (matterport's arguments, followed by new ones)
    mask_rcnn: Any, train_dataset: Dataset, val_dataset: Dataset | None, learning_rate: float | LearningRateSchedule,
    epochs: int, layers: str, augmentation: Any = None, custom_callbacks: Sequence[Any] | None = None,
    no_augmentation_sources: list[str] | None = None, *, resume: bool | Path | str = False,
    on_step: OnStep | None = None, early_stopping: int | None = None, keep: str = "all", validate_every: int = 1,
    validation_steps: int | None = None,
) -> TrainingResult:  # fmt: skip
    """Train a `mrcnn.model.MaskRCNN` of mode "training".

    Args:
        mask_rcnn: the model; its `epoch` is updated, its `log_dir` receives the files.
        train_dataset: prepared; images without instances are included.
        val_dataset: prepared, or None for no validation.
        learning_rate: the peak of the schedule given by LEARNING_RATE_SCHEDULE and WARMUP_STEPS over the steps of this
            call, or a schedule over all steps since the first epoch.
        epochs: number of the last epoch, counting all epochs of this model, also those before its weights were loaded.
            If it has been reached already, nothing is done; without `resume` there is a warning.
        layers: heads, 3+, 4+, 5+, all, or a regular expression over layer names.
        augmentation: None, a `mrcnn.data.augmentation.Augmentation`, or an augmenter with imgaug's interface.
        custom_callbacks: Keras callbacks.
        no_augmentation_sources: sources of the dataset whose images are not augmented.
        resume: True: continue from the state in `log_dir`, else in the newest run folder of the same name in
            `model_dir`; a path: from the state in that folder. Without a state, start. The weights are the same as
            those of a run that was never stopped.
        on_step: called after every step with the number of steps done and of all steps of the stage, and the losses.
            Without it, there is a progress bar on stderr if that is a terminal, and there a line for each epoch.
        early_stopping: stop after this many validations without a smaller val_loss.
        keep: weights files to retain in `log_dir`: `all`; `best` (and the last); `last`.
        validate_every: epochs between validations; the last epoch is always validated.
        validation_steps: batches of a validation; default: VALIDATION_STEPS, but no image twice.

    Raises:
        TrainingDiverged: a loss is not finite.
        TrainingInterrupted: a KeyboardInterrupt, after Ctrl-C or SIGTERM; the state has been written.
        ValueError: the mode, a setting, `layers`, `keep` or a dataset is invalid, or the state is of another
            configuration.
    """
    _check(mask_rcnn, keep)
    mask_rcnn.config.check()
    options = Options(epochs, layers, keep, early_stopping, max(1, validate_every), on_step, validation_steps)
    batches = BatchLoader(
        train_dataset, mask_rcnn.config, True, augmentation, no_augmentation_sources=no_augmentation_sources
    )
    validation = _validation_loader(val_dataset, train_dataset, mask_rcnn.config)
    return _train(mask_rcnn, options, learning_rate, batches, validation, resume, list(custom_callbacks or ()))


def _check(mask_rcnn: Any, keep: str) -> None:
    if mask_rcnn.mode != "training":
        raise ValueError(f"a model of mode {mask_rcnn.mode!r} can't be trained: create it with mode='training'")
    if keep not in ("all", "best", "last"):
        raise ValueError(f"keep={keep!r} is not one of all, best, last")


def _train(
    mask_rcnn: Any,
    options: Options,
    learning_rate: float | LearningRateSchedule,
    batches: BatchLoader,
    validation: BatchLoader | None,
    resume: bool | Path | str,
    callbacks: list[Any],
) -> TrainingResult:
    """Resume or start a run; do nothing if the last epoch has been reached already."""
    config = mask_rcnn.config
    state = _state_to_resume(mask_rcnn, resume)
    first_epoch = state.epoch if state else mask_rcnn.epoch
    if first_epoch >= options.epochs:
        return _nothing_to_do(mask_rcnn, options.epochs, first_epoch, state)
    start = _prepare_stage(mask_rcnn, state, options, learning_rate)
    schedule = _schedule(config, learning_rate, start, options.epochs)
    return Loop(mask_rcnn, options, schedule, batches, validation, start).run(callbacks)


def layers_regex(layers: str) -> str:
    """Return the regular expression over layer names for `layers`, a key of LAYERS or an expression itself.

    Raises:
        ValueError: it is neither.
    """
    expression = LAYERS.get(layers, layers)
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"layers={layers!r} is neither {', '.join(LAYERS)} nor a regular expression ({error})"
        ) from None
    return expression


def _state_to_resume(mask_rcnn: Any, resume: bool | Path | str) -> TrainingState | None:
    """Return the state to resume, if any, and set `log_dir` to its folder."""
    if resume is False:
        return None
    if resume is True:
        own = Path(mask_rcnn.log_dir)
        folder = own if read_state(own) else newest_run(mask_rcnn.model_dir, run_name(mask_rcnn))
    else:
        folder = Path(resume)
    state = read_state(folder) if folder else None
    if state is not None:
        mask_rcnn.log_dir = str(folder)
    return state


def _nothing_to_do(mask_rcnn: Any, epochs: int, reached: int, state: TrainingState | None) -> TrainingResult:
    if state is None:
        message = (
            f"nothing is trained: this model has finished {reached} epochs already, and epochs={epochs} is the number "
            "of the last epoch, not of additional ones; use a larger number"
        )
        warnings.warn(message, stacklevel=5)  # at the caller of MaskRCNN.train
    else:  # the call's epochs are a part of what is resumed
        log.info("epochs up to %d were trained before: %d are finished in %s", epochs, reached, mask_rcnn.log_dir)
    folder = Path(mask_rcnn.log_dir)
    mask_rcnn.epoch = max(mask_rcnn.epoch, min(reached, epochs))
    checkpoint = checkpoint_path(folder, run_name(mask_rcnn), reached)
    best = state.best_epoch if state else None
    return TrainingResult(
        state.history if state else (),
        folder,
        checkpoint if checkpoint.is_file() else None,
        checkpoint_path(folder, run_name(mask_rcnn), best) if best else None,
    )


def _prepare_stage(
    mask_rcnn: Any, state: TrainingState | None, options: Options, learning_rate: float | LearningRateSchedule
) -> TrainingState:
    """Compile the model for this stage, and return its state at the start."""
    config, model = mask_rcnn.config, mask_rcnn.keras_model
    if config.DETERMINISTIC:
        enable_determinism()
        tf.random.set_seed(config.SEED)
    mask_rcnn.set_trainable(layers_regex(options.layers), verbose=0)
    with model.distribute_strategy.scope():
        rate = learning_rate.peak if isinstance(learning_rate, LearningRateSchedule) else learning_rate
        model.compile(optimizer=build_optimizer(config, rate), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    same_stage = state is not None and (state.layers, state.epochs) == (options.layers, options.epochs)
    if state is not None:
        with model.distribute_strategy.scope():
            restore_variables(Path(mask_rcnn.log_dir), model, with_optimizer=same_stage)
        if getattr(model, "history", None) is None:  # else it was trained here, in the stage before
            log.info("resuming after %d steps, epoch %d, of %s", state.step, state.epoch, mask_rcnn.log_dir)
    if state is not None and same_stage:
        return state
    previous = state or _previous_stage(mask_rcnn)
    return replace(
        previous,
        layers=options.layers,
        epochs=options.epochs,
        first_step=previous.step,
        pending={},
        validations_since_best=0,
    )


def _previous_stage(mask_rcnn: Any) -> TrainingState:
    """Return the final state of the previous call, with its history and best epoch, or an empty state."""
    epoch, config = mask_rcnn.epoch, mask_rcnn.config
    step = epoch * config.STEPS_PER_EPOCH
    previous = read_state(Path(mask_rcnn.log_dir))
    if previous is not None and epoch and previous.epoch == epoch and not previous.pending:
        return replace(previous, step=step)
    return TrainingState(step, epoch, "", epoch, step, config.SEED)


def _schedule(
    config: Config, learning_rate: float | LearningRateSchedule, state: TrainingState, epochs: int
) -> LearningRateSchedule:
    if isinstance(learning_rate, LearningRateSchedule):
        return learning_rate
    last = epochs * config.STEPS_PER_EPOCH
    return LearningRateSchedule(
        learning_rate, config.LEARNING_RATE_SCHEDULE, config.WARMUP_STEPS, state.first_step, last
    )


def _validation_loader(dataset: Dataset | None, trained: Dataset, config: Config) -> BatchLoader | None:
    if dataset is None or not len(dataset.image_ids):
        return None
    names, expected = ([str(info["name"]) for info in each.class_info] for each in (dataset, trained))
    if names != expected:
        log.warning("validation and training differ in their classes, so that numbers do: %s, %s", names, expected)
    return BatchLoader(dataset, config, shuffle=True)
