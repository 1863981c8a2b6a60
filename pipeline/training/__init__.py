"""The stage `trained_model`: trains the recipe's network on an `images.zip`, and goes on where it was stopped.

The network and its loop are `mrcnn`'s; here they are given the recipe's settings and the archive's images.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import summary
from pipeline.dataset.images_zip import ImagesZip
from pipeline.errors import ArchiveError, EmptyDatasetError, RecipeError, TrainingError
from pipeline.files.atomic import whole_file
from pipeline.recipe import Recipe
from pipeline.recipe.sections import Augmentation, Training
from pipeline.running.progress import Progress
from pipeline.training import model_file
from pipeline.training import run as training_run
from pipeline.training.data import ZipDataset, balanced
from pipeline.training.weights import identify, load_into

if TYPE_CHECKING:
    from mrcnn.config import Config
    from mrcnn.model import MaskRCNN
    from mrcnn.training import TrainingResult


log = logging.getLogger(__name__)

RUN = "run"
"""Folder of checkpoints while training; what is worth keeping moves out of it at the end."""


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return what the starting weights are now; raises SourceError where they are neither a name nor a file."""
    return {"weights": identify(recipe.training.weights)}


def build(recipe: Recipe, dataset_zip: Path, out: Path, identities: dict[str, Any] | None = None) -> None:
    """Train on the splits train and val of an `images.zip`; write weights, model.json, history.csv and tensorboard/.

    What an interrupted call left in `out` is gone on with, where that had written a state and was begun with the same
    recipe, dataset and starting weights (as `identities` has them, else as they are now); else it is dropped. Raises
    RecipeError (settings that no network can have), TrainingError (weights that don't fit, a loss that is not a
    number), EmptyDatasetError (nothing to train on), ArchiveError and LabelFileError (the dataset).
    """
    run = out / RUN
    with ImagesZip(dataset_zip, recipe.labels.class_attribute) as archive:
        names = archive.class_names(_order(recipe))
        if not names:
            raise EmptyDatasetError(f"{dataset_zip}: holds no labelled instance to train on")
        seen = balanced(archive.records("train"), recipe.training.balance, recipe.seed)
        train = ZipDataset(archive, "train", names, seen)
        val = ZipDataset(archive, "val", names) if "val" in archive.splits else None
        model = _model(recipe, names, len(train.image_ids), out)
        with (
            training_run.opened(run, training_run.planned(recipe, dataset_zip, identities)) as goes_on,
            _faults_named(dataset_zip),
        ):
            if not goes_on:
                load_into(model, recipe.training)
                model.epoch = 0  # a checkpoint of this name would go on in its own folder with its next epoch
            model.log_dir = str(run)
            result = _train(model, recipe.training, train, val)
    _keep(recipe, model, result, names, out)


def _order(recipe: Recipe) -> list[str]:
    """Return the recipe's categories as they are called in the archive, in the order of their class numbers."""
    from pipeline.recipe.categories import canonical

    return [canonical(word) for word in recipe.labels.categories]


def _model(recipe: Recipe, names: tuple[str, ...], images: int, out: Path) -> "MaskRCNN":
    """Return the network with fresh weights, on all devices that the recipe wants."""
    import keras
    import tensorflow as tf

    training = recipe.training
    keras.utils.set_random_seed(recipe.seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    devices = _devices(training, len(gpus))
    steps = training.steps_per_epoch or max(1, -(-images // training.batch_size))
    config = model_file.config_for_training(recipe, names, devices, steps)
    log.info(
        "training on %s, %d images, %d classes; TensorBoard: tensorboard --logdir %s",
        f"{devices} GPU" if gpus else "the CPU", images, len(names), out / RUN,
    )  # fmt: skip
    model = _network(config, training, out)
    _check_layers(model, training)
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


def _network(config: "Config", training: Training, out: Path) -> "MaskRCNN":
    from mrcnn.model import MaskRCNN

    try:
        return MaskRCNN(mode="training", config=config, model_dir=str(out))
    except (TypeError, ValueError, ArithmeticError) as error:
        if not training.config:  # the other keys have bounds: this is a fault of ours
            raise
        settings = ", ".join(training.config)
        raise RecipeError([f"training.config: no network can be built with these {settings}: {error}"]) from None


def _check_layers(model: "MaskRCNN", training: Training) -> None:
    """Refuse what names no layers now, not after the stages before it."""
    from mrcnn.training import layers_regex

    for number, stage in enumerate(training.stages):
        try:
            model.set_trainable(layers_regex(stage.layers), verbose=0)
        except ValueError as error:
            raise RecipeError([f"training.stages.{number}.layers: {error}"]) from None


@contextmanager
def _faults_named(images_zip: Path) -> Iterator[None]:
    """Tell what `mrcnn` found wrong with the data in one sentence; faults of our own code stay what they are."""
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
    from mrcnn.training.optimizers import Schedule

    last = sum(stage.epochs for stage in training.stages) * model.config.STEPS_PER_EPOCH
    epochs = 0
    with Progress("training", last, "step") as bar:
        for stage in training.stages:
            epochs += stage.epochs
            peak = training.learning_rate * stage.learning_rate_factor
            result = model.train(
                train,
                val if training.validate_every else None,
                Schedule(peak, training.schedule, training.warmup_steps, 0, last),
                epochs,
                stage.layers,
                augmentation=_augmentation(training.augmentation),
                resume=model.log_dir,
                on_step=partial(_advance, bar, epochs * model.config.STEPS_PER_EPOCH),
                early_stopping=training.early_stopping,
                keep="best" if training.keep == "best" else "last",
                validate_every=training.validate_every or 1,
                validation_steps=training.validation_steps,
            )
            if result.stopped_early:
                break
    return result


def _advance(bar: Progress, end: int, step: int, total: int, logs: dict[str, float]) -> None:
    """Move the bar to `step` of the stage's `total` steps, which end at step `end` of the whole training."""
    done = end - total + step
    bar.advance(done - bar.done, f"loss {logs['loss']:.3f}" if "loss" in logs else "")


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
    """Write the artifact's files from what the run left, and remove the run's folder."""
    run = Path(model.log_dir)
    chosen = result.best_checkpoint if recipe.training.keep == "best" else result.last_checkpoint
    if chosen is None:
        raise TrainingError("training: no epoch was finished, so that there are no weights to keep")
    shutil.copyfile(chosen, out / model_file.weights_file(recipe.name))
    model_file.write(out, model.config, names)
    _write_history(out / "history.csv", result.history)
    (out / "tensorboard").mkdir(exist_ok=True)
    for events in sorted(run.glob("events.*")):
        shutil.copyfile(events, out / "tensorboard" / events.name)
    summary.write(out, _summary(model, result.history, names))
    training_run.remove(run)


def _write_history(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write a row an epoch; epochs without validation leave its columns empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with whole_file(path) as file:
        lines = [",".join(columns)]
        lines += [",".join(str(row.get(name, "")) for name in columns) for row in history]
        file.write(("\n".join(lines) + "\n").encode())


def _summary(model: "MaskRCNN", history: Sequence[dict[str, float]], names: tuple[str, ...]) -> summary.Summary:
    last = history[-1]
    weights = int(model.keras_model.count_params())
    return summary.Summary(
        numbers={
            "epochs": int(last["epoch"]),
            "steps": int(last["step"]),
            "weights": weights,
            "seconds": round(sum(row["seconds"] for row in history), 1),
            **{name: last[name] for name in ("loss", "val_loss") if name in last},
        },
        texts={"classes": ", ".join(names), "backbone": str(model.config.BACKBONE)},
        tables={"losses": [{name: round(value, 5) for name, value in row.items()} for row in history[-20:]]},
    )
