"""Checks of the recipe against the dataset, before the first step: faults that would end it, settings that spoil it."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from mrcnn.data.resizing import frame_for
from pipeline.artifacts.summary import Check
from pipeline.dataset.images_zip import ImageRecord, ImagesZip
from pipeline.errors import EmptyDatasetError, RecipeError
from pipeline.recipe import Recipe
from pipeline.recipe.hints import of_training
from pipeline.recipe.sections import LEAST_PIXELS

if TYPE_CHECKING:
    from mrcnn.config import Config

IMAGES_MEASURED = 2000
"""Images whose instances are compared with the anchors: every image, or so many evenly spaced ones."""

NAMED = 8
"""Weights that a check lists at most."""

log = logging.getLogger(__name__)


def refuse(recipe: Recipe, archive: ImagesZip) -> None:
    """Raise what would end the chain after hours: EmptyDatasetError for a test split, RecipeError for images' sides."""
    judged_on = recipe.evaluation.split
    if judged_on == "test" and judged_on not in archive.splits:
        raise EmptyDatasetError(
            f"evaluation.split: test, but {archive.path} has only {', '.join(archive.splits)}: set evaluation.split to "
            "val, or dataset.split to hash with a dataset.test_fraction"
        )
    records = [record for split in archive.splits for record in archive.records(split)]
    uneven = [record for record in records if record.width % LEAST_PIXELS or record.height % LEAST_PIXELS]
    if recipe.training.resize == "none" and uneven:
        first = uneven[0]
        raise RecipeError([
            f"training.resize: none needs images whose sides are multiples of {LEAST_PIXELS}, and {len(uneven)} of "
            f"{len(records)} are not ({first.image} is {first.width}x{first.height}): set training.resize to pad32"
        ])  # fmt: skip


def warn(recipe: Recipe, config: "Config", records: Sequence[ImageRecord]) -> None:
    """Log a warning of what trains without an error and learns little, with what to set."""
    for hint in of_training(recipe):
        log.warning("%s", hint)
    step = max(1, len(records) // IMAGES_MEASURED)
    sides = [side for record in records[::step] for side in _sides(record, config)]
    smallest = min(config.RPN_ANCHOR_SCALES)
    share = sum(side < smallest for side in sides) / max(len(sides), 1)
    if share > 0.5:
        scales = _smaller(config.RPN_ANCHOR_SCALES, float(np.quantile(sides, 0.25)))
        anchors = f"training.config to {{RPN_ANCHOR_SCALES: {scales}}}, or " if min(scales) < smallest else ""
        log.warning(
            "%.0f %% of the instances are smaller than the smallest anchor (%g pixels) once images are resized; half "
            "are under %.0f: set %slarger training.min_dim and max_dim",
            100 * share, smallest, median(sides), anchors,
        )  # fmt: skip


def _sides(record: ImageRecord, config: "Config") -> Iterator[float]:
    """Yield the square root of the area of each instance's box, in pixels of the network's input."""
    scale = frame_for((record.height, record.width), config).scale
    for instance in record.instances:
        if instance.rings and not (instance.crowd or instance.ignored):
            yield scale * float(np.sqrt(np.prod(np.ptp(np.concatenate(instance.rings), axis=0))))


def _smaller(scales: Sequence[float], side: float) -> list[float]:
    """Return anchor scales, halved while the smallest is larger than `side` and than 4 pixels."""
    while min(scales) > max(side, 4):
        scales = [scale / 2 for scale in scales]
    return [int(scale) if scale == int(scale) else scale for scale in scales]


def weights_finite(weights: Path) -> Check:
    """Check that each weight of a file is a number."""
    import h5py

    damaged: list[str] = []
    count = 0

    def look(name: str, item: Any) -> None:
        nonlocal count
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            count += 1
            if not np.isfinite(item[()]).all():
                damaged.append(name)

    with h5py.File(weights, "r") as file:
        file.visititems(look)
    text = f"all values of {count} weights are numbers"
    if damaged:
        text = (
            f"{len(damaged)} of {count} weights hold values that are no numbers (the first is {damaged[0]}): lower "
            "training.learning_rate, or raise training.warmup_steps"
        )
    return Check(
        "weights_finite",
        passed=not damaged,
        description=text,
        numbers={"damaged": len(damaged), "weights": count},
        examples=[{"weight": name} for name in damaged[:NAMED]],
    )
