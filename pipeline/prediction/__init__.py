"""Predicts pictures that nobody has labelled: from sources and a model to a folder of detections and drawings."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map

if TYPE_CHECKING:
    from pipeline.prediction.model import Model, Predicted
    from pipeline.prediction.parts import Parts
    from pipeline.prediction.pictures import Picture, Pictures

FORMS = ("coco", "via", "overlays", "crops", "masks", "bitmasks")
"""What can be saved beside the tables."""
BY_DEFAULT = ("coco", "via", "overlays")
WRITERS = 2
"""Threads that draw and write."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run did: pictures with detections in the folder, detections, and pictures that could not be used."""

    pictures: int
    detections: int
    rejected: int
    new: int
    """Pictures that this run has predicted."""
    seconds: float


def run(
    model: "Model", pictures: "Pictures", out: Path, save: Sequence[str] = BY_DEFAULT, force: bool = False
) -> Outcome:
    """Predict the pictures into the folder `out`; those that an interrupted run has finished are not done again.

    Raises ArtifactError where `out` holds predictions with other settings, unless `force`; KeyboardInterrupt after the
    files of what is finished were written.
    """
    from pipeline.prediction import outputs, picture_files
    from pipeline.prediction.parts import Parts

    settings: dict[str, Any] = {
        "model": model.fingerprint,
        "classes or scores": dict(model.thresholds),
        "number of detections": model.max_detections,
        "files": sorted(save),
    }
    if force:
        Parts.discard(out)
    folders = [picture_files.PICTURES] if "via" in save else []
    folders += [folder for folder in picture_files.FOLDERS if folder in save]
    predicted = Parts(out, settings)
    wanted = [each for each in pictures.pictures if not predicted.has(each)]
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    interrupted = False
    try:
        with predicted:
            for each in pictures.unusable:
                if not predicted.has(each.picture):
                    predicted.add(_write(model, out, folders, each))
            _predict(model, pictures, wanted, predicted, partial(_write, model, out, folders))
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.monotonic() - started
    counts = outputs.write(predicted, out, model.class_names, save, out / picture_files.PICTURES)
    if interrupted:
        raise KeyboardInterrupt(f"{out} holds what was predicted so far, and the same command goes on from there")
    return Outcome(counts["pictures"], counts["detections"], counts["rejected"], len(wanted), seconds)


def _predict(
    model: "Model",
    pictures: "Pictures",
    wanted: "Sequence[Picture]",
    predicted: "Parts",
    write: "Callable[[Predicted], dict[str, Any]]",
) -> None:
    """Read, predict and draw pictures, the three at the same time, and add each to `predicted`, in order."""
    with Progress("predicting", len(wanted), "image") as bar:
        started = time.monotonic()
        for row in ordered_map(write, model.detected(pictures.loaded(wanted)), batch_size=1, threads=WRITERS):
            predicted.add(row)
            bar.advance(note=f"{(bar.done + 1) / (time.monotonic() - started):.1f} images/s")


def _write(model: "Model", out: Path, folders: Sequence[str], each: "Predicted") -> dict[str, Any]:
    """Write the files of a picture; return its row."""
    from pipeline.prediction import parts, picture_files
    from pipeline.prediction.pictures import Unusable

    if isinstance(each, Unusable):
        log.warning("%s is left out: %s", each.picture.where, each.reason)
        return parts.row(each.picture, reason=each.reason, detections=[])
    loaded, found = each
    picture_files.write(model.prediction(loaded, found), out, folders)
    height, width = loaded.pixels.shape[:2]
    rows = [parts.detection_row(each) for each in found]
    return parts.row(loaded.picture, width=width, height=height, detections=rows)
