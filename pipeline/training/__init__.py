"""The stage `trained_model`: trains the recipe's network on an `images.zip`, and resumes where it was stopped."""

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import summary
from pipeline.dataset.images_zip import ImagesZip
from pipeline.errors import ArchiveError, EmptyDatasetError, RecipeError, TrainingError
from pipeline.files.atomic import whole_file, write_json
from pipeline.program import LIVE, PIPES_VARIABLE
from pipeline.recipe import Recipe
from pipeline.recipe.categories import canonical
from pipeline.recipe.sections import Augmentation, Training
from pipeline.running.progress import Progress
from pipeline.running.tensorflow_start import memory_named, start_tensorflow
from pipeline.training import checks, model_file
from pipeline.training.data import ZipDataset, balanced
from pipeline.training.weights import identify, load_into

if TYPE_CHECKING:
    from mrcnn.model import MaskRCNN
    from mrcnn.training import TrainingResult


log = logging.getLogger(__name__)

LEAST_SIDE = 64
"""Pixels, the least of the recipe's min_dim, and what pad64 makes sides multiples of."""
RUN = "run"
"""Folder of checkpoints while training; what is worth keeping moves out of it at the end."""


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return what the starting weights are now; raises SourceError where they are neither a name nor a file."""
    return {"weights": identify(recipe.training.weights)}


def build(recipe: Recipe, dataset_zip: Path, out: Path, identities: dict[str, Any] | None = None) -> None:
    """Train on the splits train and val of an `images.zip`; write weights, model.json, history.csv and tensorboard/.

    What an interrupted call left in `out` is resumed, where that had written a state and was begun with the same
    recipe, dataset and starting weights (`identities`); else it is dropped. Raises RecipeError (settings that no
    network can have), TrainingError (weights, or a loss that is not a number), EmptyDatasetError, ArchiveError and
    LabelFileError (the dataset).
    """
    start_tensorflow()
    from pipeline.training import run as training_run

    run = out / RUN
    with ImagesZip(dataset_zip, recipe.labels.class_attribute) as archive:
        checks.refuse(recipe, archive)
        names = archive.class_names([canonical(word) for word in recipe.labels.categories])
        if not names:
            raise EmptyDatasetError(f"{dataset_zip}: holds no labelled instance to train on")
        seen = balanced(archive.records("train"), recipe.training.balance, recipe.seed)
        train = ZipDataset(archive, "train", names, seen)
        val = ZipDataset(archive, "val", names) if "val" in archive.splits else None
        model = _model(recipe, names, len(train.image_ids), out)
        with (
            training_run.opened(run, training_run.planned(recipe, dataset_zip, identities)) as resumes,
            _faults_named(dataset_zip),
            memory_named("training", less_memory(recipe.training)),
        ):
            checks.warn(recipe, model.config, train.records)
            if not resumes:
                load_into(model, recipe.training)
                model.epoch = 0  # else a checkpoint of a run's name would make it continue in the folder of that run
            model.log_dir = str(run)
            result = _train(model, recipe.training, train, val)
    _keep(recipe, model, result, names, out)
    if PIPES_VARIABLE not in os.environ:  # else whoever started the program takes a last look
        (out / LIVE).unlink(missing_ok=True)
    training_run.remove(run)


def _model(recipe: Recipe, names: tuple[str, ...], images: int, out: Path) -> "MaskRCNN":
    """Return the network with fresh weights, on all devices that the recipe wants.

    Raises RecipeError where no network can have its settings, or where a later stage names no layers.
    """
    import keras
    import tensorflow as tf

    from mrcnn.model import MaskRCNN
    from mrcnn.training import layers_regex

    training = recipe.training
    keras.utils.set_random_seed(recipe.seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    devices = _devices(training, len(gpus))
    steps = training.steps_per_epoch or max(1, -(-images // training.batch_size))
    config = model_file.config_for_training(recipe, names, devices, steps)
    log.info(
        "training on %s: images %d, classes %d, epochs %d, steps an epoch %d; TensorBoard: tensorboard --logdir %s",
        f"{devices} GPU" if gpus else "the CPU", images, len(names),
        sum(stage.epochs for stage in training.stages), steps, out / RUN,
    )  # fmt: skip
    try:
        model = MaskRCNN(mode="training", config=config, model_dir=str(out))
    except (TypeError, ValueError, ArithmeticError) as error:
        if not training.config:  # the other keys have bounds: this is a fault of ours
            raise
        settings = ", ".join(training.config)
        raise RecipeError([f"training.config: no network can be built with these {settings}: {error}"]) from None
    for number, stage in enumerate(training.stages):
        try:
            model.set_trainable(layers_regex(stage.layers), verbose=0)
        except ValueError as error:
            raise RecipeError([f"training.stages.{number}.layers: {error}"]) from None
    return model


def _devices(training: Training, gpus: int) -> int:
    """Return how many devices share a batch: as many of the machine's `gpus` as share it equally, and at least 1."""
    if training.strategy == "one_device":
        return 1
    used = max(count for count in range(1, max(gpus, 1) + 1) if training.batch_size % count == 0)
    if used < gpus:
        log.info("a batch of %d is shared equally by %d of %d GPUs: the others do nothing; training.batch_size says"
                 " how many images a step takes, whatever the machine", training.batch_size, used, gpus)  # fmt: skip
    return used


def less_memory(training: Training) -> str:
    """Return what a recipe can set for a step to need less memory, with numbers."""
    now = f"a step has {training.batch_size} images of up to {training.max_dim} pixels a side"
    halves = f"training.batch_size to {training.batch_size // 2}"
    sides = [max(LEAST_SIDE, 3 * side // 4 // LEAST_SIDE * LEAST_SIDE) for side in (training.min_dim, training.max_dim)]
    smaller = f"training.min_dim to {sides[0]} and max_dim to {sides[1]}"
    sixteen = " or training.precision to bfloat16" if training.precision == "float32" else ""
    return f"{now}: set {halves if training.batch_size > 1 else smaller}{sixteen}, and run it again"


@contextmanager
def _faults_named(images_zip: Path) -> Iterator[None]:
    """Raise what `mrcnn` found wrong with the data as errors of ours; faults of our own code stay what they are."""
    from mrcnn.data.decoding import ImageError
    from mrcnn.training import TrainingDiverged
    from mrcnn.training.checkpoints import StateError

    try:
        yield
    except ImageError as fault:
        raise ArchiveError(f"{images_zip}: {fault}") from None
    except (StateError, TrainingDiverged) as fault:
        raise TrainingError(f"training: {fault}") from None


def _train(model: "MaskRCNN", training: Training, train: ZipDataset, val: ZipDataset | None) -> "TrainingResult":
    """Train all stages, one after the other, with one learning rate curve over all of them."""
    from mrcnn.training.schedule import LearningRateSchedule

    last = sum(stage.epochs for stage in training.stages) * model.config.STEPS_PER_EPOCH
    epochs = 0
    with Progress("training", last, "step") as bar:
        live = _live_figures(Path(model.model_dir), bar, model.config.STEPS_PER_EPOCH * model.config.BATCH_SIZE)
        for stage in training.stages:
            epochs += stage.epochs
            peak = training.learning_rate * stage.learning_rate_factor
            result = model.train(
                train,
                val if training.validate_every else None,
                LearningRateSchedule(peak, training.schedule, training.warmup_steps, 0, last),
                epochs,
                stage.layers,
                augmentation=_augmentation(training.augmentation),
                custom_callbacks=[live],
                resume=model.log_dir,
                on_step=partial(_advance, bar, epochs * model.config.STEPS_PER_EPOCH),
                early_stopping=training.early_stopping,
                keep=training.keep,
                validate_every=training.validate_every or 1,
                validation_steps=training.validation_steps,
            )
            if result.stopped_early:
                break
    return result


def _live_figures(out: Path, bar: Progress, images: int) -> Any:
    """Return a callback of Keras that leaves figures of each epoch (of so many images), and the seconds left."""
    import keras

    before = time.monotonic()

    def leave(epoch: int, logs: dict[str, Any]) -> None:
        nonlocal before
        losses = {f"live_{name}": float(value) for name, value in logs.items() if name in ("loss", "val_loss")}
        before, seconds = time.monotonic(), time.monotonic() - before
        speed = {
            "live_images_per_second": round(images / seconds, 2),
            "live_seconds_left": round(bar.seconds_left or 0),
        }
        write_json(out / LIVE, {"live_epoch": epoch + 1, **losses, **speed})

    return keras.callbacks.LambdaCallback(on_epoch_end=leave)


def _advance(bar: Progress, end: int, step: int, total: int, logs: dict[str, float]) -> None:
    """Move the bar to `step` of the stage's `total` steps, which end at step `end` of the whole training."""
    bar.advance(end - total + step - bar.done, f"loss {logs['loss']:.3f}" if "loss" in logs else "")


def _augmentation(wanted: Augmentation) -> Any:
    from mrcnn.data.augmentation import Augmentation as Changes

    return Changes(
        flip=0.5 if wanted.flip else 0.0,
        scale=(1 - wanted.scale, 1 + wanted.scale),
        brightness=wanted.colour,
        contrast=wanted.colour,
        saturation=wanted.colour,
    )


def _keep(recipe: Recipe, model: "MaskRCNN", result: "TrainingResult", names: tuple[str, ...], out: Path) -> None:
    """Write the artifact's files from what the run left."""
    import pandas as pd

    run = Path(model.log_dir)
    chosen = result.best_checkpoint if recipe.training.keep == "best" else result.last_checkpoint
    if chosen is None:
        raise TrainingError("training: no epoch was finished, so that there are no weights to keep")
    shutil.copyfile(chosen, out / model_file.weights_file(recipe.name))
    model_file.write(out, model.config, names)
    with whole_file(out / "history.csv") as file:  # a row an epoch; epochs without validation leave cells empty
        pd.DataFrame(result.history).to_csv(file, index=False)
    (out / "tensorboard").mkdir(exist_ok=True)
    for events in sorted(run.glob("events.*")):
        shutil.copyfile(events, out / "tensorboard" / events.name)
    finite = checks.weights_finite(out / model_file.weights_file(recipe.name))
    summary.write(out, _summary(model, result.history, names, finite))


def _summary(
    model: "MaskRCNN", history: Sequence[dict[str, float]], names: tuple[str, ...], finite: summary.Check
) -> summary.Summary:
    last = history[-1]
    return summary.Summary(
        numbers={
            "epochs": int(last["epoch"]),
            "steps": int(last["step"]),
            "weights": int(model.keras_model.count_params()),
            "seconds": round(sum(row["seconds"] for row in history), 1),
            **{name: last[name] for name in ("loss", "val_loss") if name in last},
        },
        texts={"classes": ", ".join(names), "backbone": str(model.config.BACKBONE)},
        tables={"losses": [{name: round(value, 5) for name, value in row.items()} for row in history[-20:]]},
        checks=[finite],
    )
