"""Training: what is trained, from which state on, and until when.

The loop is in `training_loop`, one step in `network`, batches in `input_pipeline`, learning rates in `optimizers`.
"""

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn.data.batches import BatchLoader
from mrcnn.training.checkpoints import TrainingState, newest_run, read_state, restore_variables
from mrcnn.training.loop import Loop, OnStep, Options, TrainingDiverged, TrainingResult, checkpoint_path, run_name
from mrcnn.training.optimizers import Schedule, build_optimizer

if TYPE_CHECKING:
    from mrcnn.data.dataset import Dataset

log = logging.getLogger(__name__)

__all__ = ["LAYERS", "Schedule", "TrainingDiverged", "TrainingResult", "layers_regex", "train"]

_HEADS = r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)"
LAYERS = {
    "heads": _HEADS,
    "3+": rf"(res3.*)|(bn3.*)|(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|{_HEADS}",
    "4+": rf"(res4.*)|(bn4.*)|(res5.*)|(bn5.*)|{_HEADS}",
    "5+": rf"(res5.*)|(bn5.*)|{_HEADS}",
    "all": ".*",
}
"""Names of sets of layers, and the regular expressions over layer names that they stand for."""


def train(  # noqa: PLR0913  (the original's signature, and ours behind it)
    mask_rcnn: Any, train_dataset: "Dataset", val_dataset: "Dataset | None", learning_rate: float | Schedule,
    epochs: int, layers: str, augmentation: Any = None, custom_callbacks: Sequence[Any] | None = None,
    no_augmentation_sources: list[str] | None = None, *, resume: bool | Path | str = False,
    on_step: OnStep | None = None, early_stopping: int | None = None, keep: str = "all", validate_every: int = 1,
    validation_steps: int | None = None,
) -> TrainingResult:  # fmt: skip
    """Train a `mrcnn.model.MaskRCNN` of mode "training".

    Args:
        mask_rcnn: the model; its `epoch` grows, its `log_dir` receives the files.
        train_dataset: prepared; its images without instances are trained on too.
        val_dataset: prepared, or None: no validation.
        learning_rate: the rate (LEARNING_RATE_SCHEDULE and WARMUP_STEPS say how it changes over the steps of this
            call), or a schedule of your own, over steps counted from the first epoch's first.
        epochs: number of the epoch to end with, all epochs of this model counted, those before its weights were written
            too. Where it was reached before, nothing is done, and a warning says so.
        layers: heads, 3+, 4+, 5+, all, or a regular expression over layer names.
        augmentation: None, a `mrcnn.data.augmentation.Augmentation`, or an augmenter of imgaug's kind.
        custom_callbacks: Keras callbacks.
        no_augmentation_sources: sources of the dataset whose images stay as they are.
        resume: go on from the state in `log_dir`, else in the newest run folder of the same name in `model_dir`, or in
            the folder given; without a state, begin. The same call then gives the same weights as if never stopped.
        on_step: called after every step with steps done and all steps of the stage, and the losses so far.
        early_stopping: end after so many validations without a smaller val_loss.
        keep: weights files that stay in `log_dir`: `all`; `best` and last; `last`.
        validate_every: epochs between validations; the last epoch is validated in any case.
        validation_steps: batches a validation; without it VALIDATION_STEPS, but no image twice.

    Raises:
        TrainingDiverged: a loss is not finite.
        TrainingInterrupted: a KeyboardInterrupt, once the state is on disk after Ctrl-C or SIGTERM.
        ValueError: the mode, `layers`, `keep` or a dataset is wrong; the state belongs to another configuration.
    """
    _check(mask_rcnn, keep)
    options = Options(epochs, layers, keep, early_stopping, max(1, validate_every), on_step, validation_steps)
    batches = BatchLoader(
        train_dataset, mask_rcnn.config, True, augmentation, no_augmentation_sources=no_augmentation_sources
    )
    return _train(mask_rcnn, options, learning_rate, batches, val_dataset, resume, list(custom_callbacks or ()))


def _check(mask_rcnn: Any, keep: str) -> None:
    if mask_rcnn.mode != "training":
        raise ValueError(f"a model of mode {mask_rcnn.mode!r} can't be trained: create it with mode='training'")
    if keep not in ("all", "best", "last"):
        raise ValueError(f"keep={keep!r} is not one of all, best, last")


def _train(
    mask_rcnn: Any,
    options: Options,
    learning_rate: float | Schedule,
    batches: BatchLoader,
    val_dataset: "Dataset | None",
    resume: bool | Path | str,
    callbacks: list[Any],
) -> TrainingResult:
    """Go on from the state that is found, or begin; do nothing where the last epoch was reached before."""
    config = mask_rcnn.config
    state = _found_state(mask_rcnn, resume)
    first_epoch = state.epoch if state else mask_rcnn.epoch
    if first_epoch >= options.epochs:
        return _nothing_to_do(mask_rcnn, options.epochs, first_epoch, state)
    begun = _begin(mask_rcnn, state, options, learning_rate)
    schedule = _schedule(config, learning_rate, begun, options.epochs)
    loop = Loop(mask_rcnn, options, schedule, batches, _validation_loader(val_dataset, config), begun)
    return loop.run(callbacks)


def layers_regex(layers: str) -> str:
    """Return the regular expression over layer names that `layers` stands for; ValueError where it is none."""
    expression = LAYERS.get(layers, layers)
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"layers={layers!r} is neither {', '.join(LAYERS)} nor a regular expression ({error})"
        ) from None
    return expression


def _found_state(mask_rcnn: Any, resume: bool | Path | str) -> TrainingState | None:
    """Return the state to go on from, with `log_dir` set to its folder."""
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
    message = (
        f"nothing is trained: this model has had {reached} epochs already, and epochs={epochs} is the number of the "
        "epoch to end with, not how many more; ask for a larger one"
    )
    if state is None:
        warnings.warn(message, stacklevel=5)  # at the caller of MaskRCNN.train
    log.warning("%s", message)
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


def _begin(
    mask_rcnn: Any, state: TrainingState | None, options: Options, learning_rate: float | Schedule
) -> TrainingState:
    """Compile the model for this stage and return the state that it begins or goes on with."""
    import tensorflow as tf

    from mrcnn.ops.gradient_order import enable_determinism

    config, model = mask_rcnn.config, mask_rcnn.keras_model
    if config.DETERMINISTIC:
        enable_determinism()
        tf.random.set_seed(config.SEED)
    mask_rcnn.set_trainable(layers_regex(options.layers), verbose=0)
    with model.distribute_strategy.scope():
        rate = learning_rate.peak if isinstance(learning_rate, Schedule) else learning_rate
        model.compile(optimizer=build_optimizer(config, rate), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    same_stage = state is not None and (state.layers, state.epochs) == (options.layers, options.epochs)
    if state is not None:
        with model.distribute_strategy.scope():
            restore_variables(Path(mask_rcnn.log_dir), model, with_optimizer=same_stage)
        log.info("going on after %d steps, epoch %d, of %s", state.step, state.epoch, mask_rcnn.log_dir)
    if state is not None and same_stage:
        return state
    before = state or _earlier_stage(mask_rcnn)
    return replace(
        before,
        layers=options.layers,
        epochs=options.epochs,
        first_step=before.step,
        pending={},
        validations_since_best=0,
    )


def _earlier_stage(mask_rcnn: Any) -> TrainingState:
    """Return the state to begin a stage with: history and best epoch are those of an earlier call, if there was one."""
    epoch, config = mask_rcnn.epoch, mask_rcnn.config
    earlier = read_state(Path(mask_rcnn.log_dir))
    if earlier is not None and epoch and earlier.epoch == epoch and not earlier.pending:
        return replace(earlier, step=epoch * config.STEPS_PER_EPOCH)
    step = epoch * config.STEPS_PER_EPOCH
    return TrainingState(step, epoch, "", epoch, step, config.SEED)


def _schedule(config: Any, learning_rate: float | Schedule, state: TrainingState, epochs: int) -> Schedule:
    if isinstance(learning_rate, Schedule):
        return learning_rate
    last = epochs * config.STEPS_PER_EPOCH
    return Schedule(learning_rate, config.LEARNING_RATE_SCHEDULE, config.WARMUP_STEPS, state.first_step, last)


def _validation_loader(dataset: "Dataset | None", config: Any) -> BatchLoader | None:
    return None if dataset is None or not len(dataset.image_ids) else BatchLoader(dataset, config, shuffle=True)
