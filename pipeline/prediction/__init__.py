"""Predicts pictures that nobody has labelled: the stage `predictions`, and the run that it shares with the command."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import LATEST, summary
from pipeline.recipe import Recipe
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map

if TYPE_CHECKING:
    from pipeline.prediction.model import Model, Predicted
    from pipeline.prediction.parts import Earlier, Parts
    from pipeline.prediction.pictures import Picture, Pictures

KEY = "prediction.images"
FORMS = ("coco", "via", "overlays", "crops", "masks", "bitmasks")
"""What can be saved beside the tables."""
BY_DEFAULT = ("coco", "via", "overlays")
WRITERS = 2
"""Threads that draw and write."""
THUMBNAILS = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What is in the folder of a run: pictures, detections of each class, and pictures that could not be used."""

    pictures: int
    classes: Counter[str]
    rejected: int
    new: int
    """Pictures that this run has predicted."""
    seconds: float


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return what the sources of pictures are now; raises SourceError where one is absent."""
    from pipeline.sources import resolve

    entries = enumerate(recipe.prediction.images)
    return {f"{at}: {entry}": resolve.identify(entry, recipe, "images", KEY) for at, entry in entries}


identities_of = identities


def build(
    recipe: Recipe, trained_model: Path, evaluation_report: Path, out: Path, identities: dict[str, Any] | None = None
) -> None:
    """Predict `prediction.images` with the model and the thresholds of its report; write the files of a run.

    Pictures that the artifact used last has from the same model are not predicted again. Raises SourceError (an absent
    source), ArchiveError (a damaged one) and ArtifactError (no usable model).
    """
    from pipeline.prediction.model import THRESHOLDS, load_model
    from pipeline.prediction.parts import Earlier
    from pipeline.prediction.pictures import Pictures, sources_of

    chosen = recipe.prediction
    if not chosen.images:
        _write_none(trained_model, out)
        return
    known = identities or identities_of(recipe)
    sources = list(zip(sources_of(chosen.images, KEY), known.values(), strict=True))
    with Pictures(sources, recipe, out, hashed=True) as pictures:
        model = load_model(
            trained_model,
            min_score=chosen.min_score,
            max_detections=chosen.max_detections,
            thresholds=evaluation_report / THRESHOLDS,
        )
        earlier = Earlier(out.parent / LATEST, settings_of(model, BY_DEFAULT))
        outcome = run(model, pictures, out, earlier=earlier)
    summary.write(out, _summary(outcome, out))


def settings_of(model: "Model", save: Sequence[str]) -> dict[str, Any]:
    """Return what decides the files of a run, beside its pictures."""
    return {
        "model": model.fingerprint,
        "classes or scores": dict(model.thresholds),
        "number of detections": model.max_detections,
        "files": sorted(save),
    }


def run(
    model: "Model",
    pictures: "Pictures",
    out: Path,
    save: Sequence[str] = BY_DEFAULT,
    force: bool = False,
    earlier: "Earlier | None" = None,
) -> Outcome:
    """Predict the pictures into the folder `out`; those that an interrupted run has finished are not done again.

    With `earlier`, `out` is an artifact's: what was found then is taken over, and no part is left. Raises ArtifactError
    where `out` holds predictions with other settings, unless `force`; KeyboardInterrupt after the files of what is
    finished were written.
    """
    from pipeline.prediction import outputs, picture_files
    from pipeline.prediction.parts import Parts

    if force:
        Parts.discard(out)
    predicted = Parts(out, settings_of(model, save))
    wanted = [each for each in pictures.pictures if not predicted.has(each)]
    folders = picture_files.make_folders(out, save)
    started = time.monotonic()
    interrupted = False
    try:
        with predicted:
            for each in pictures.unusable:
                if not predicted.has(each.picture):
                    predicted.add(_write(model, out, folders, earlier, each))
            _predict(model, pictures, wanted, predicted, earlier, partial(_write, model, out, folders, earlier))
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.monotonic() - started
    shown = f"{picture_files.PICTURES}/" if earlier else f"{out.absolute()}/{picture_files.PICTURES}/"
    totals = outputs.write(predicted, out, model.class_names, save, shown)
    if interrupted:
        raise KeyboardInterrupt(f"{out} holds what was predicted so far, and the same command goes on from there")
    if earlier:
        predicted.finish(out)
    return Outcome(totals.pictures, totals.classes, totals.rejected, len(wanted), seconds)


def _predict(
    model: "Model",
    pictures: "Pictures",
    wanted: "Sequence[Picture]",
    predicted: "Parts",
    earlier: "Earlier | None",
    write: "Callable[[Predicted], dict[str, Any]]",
) -> None:
    """Read, predict and draw pictures, the three at the same time, and add each to `predicted`, in order."""
    from pipeline.prediction.pictures import Known

    def with_what_is_known(picture: "Picture") -> "Picture | Known":
        row = earlier.known(picture) if earlier else None
        return Known(picture, row) if row else picture

    with Progress("predicting", len(wanted), "image") as bar:
        started = time.monotonic()
        loaded = pictures.loaded(map(with_what_is_known, wanted))
        for row in ordered_map(write, model.detected(loaded), batch_size=1, threads=WRITERS):
            predicted.add(row)
            bar.advance(note=f"{(bar.done + 1) / (time.monotonic() - started):.1f} images/s")


def _write(
    model: "Model", out: Path, folders: Sequence[str], earlier: "Earlier | None", each: "Predicted"
) -> dict[str, Any]:
    """Write the files of a picture; return its row."""
    from pipeline.prediction import parts, picture_files
    from pipeline.prediction.pictures import Known, Unusable

    if isinstance(each, Known):
        assert earlier
        picture_files.take_over(each.picture, earlier.folder, out, folders)
        return each.row
    if isinstance(each, Unusable):
        log.warning("%s is left out: %s", each.picture.where, each.reason)
        return parts.row(each.picture, reason=each.reason, detections=[])
    loaded, found = each
    picture_files.write(model.prediction(loaded, found), out, folders)
    height, width = loaded.pixels.shape[:2]
    rows = [parts.detection_row(each) for each in found]
    return parts.row(loaded.picture, width=width, height=height, detections=rows)


def _write_none(trained_model: Path, out: Path) -> None:
    """Write the files of a run without pictures."""
    from pipeline.prediction import outputs, picture_files
    from pipeline.prediction.parts import Parts
    from pipeline.training import model_file

    names = model_file.read(trained_model).class_names
    predicted = Parts(out, {})
    picture_files.make_folders(out, BY_DEFAULT)
    outputs.write(predicted, out, names, BY_DEFAULT, f"{picture_files.PICTURES}/")
    predicted.finish(out)
    nothing = f"{KEY} names no pictures: nothing was predicted"
    checks = [summary.Check("every_picture_usable", True, nothing)]
    summary.write(out, summary.Summary(numbers={"pictures": 0, "detections": 0}, checks=checks, lines=[nothing]))


def _summary(outcome: Outcome, out: Path) -> summary.Summary:
    numbers = {
        "pictures": outcome.pictures,
        "detections": outcome.classes.total(),
        "rejected": outcome.rejected,
        "images_per_second": round(outcome.new / outcome.seconds, 2),
    }
    unusable = f"{outcome.rejected} pictures could not be used; rejected.parquet says why"
    return summary.Summary(
        numbers=numbers,
        tables={"classes": [{"class": name, "detections": count} for name, count in sorted(outcome.classes.items())]},
        pictures=_thumbnails(out),
        checks=[summary.Check("every_picture_usable", not outcome.rejected, unusable)],
        lines=[
            f"{outcome.pictures:,} pictures, {outcome.classes.total():,} detections",
            "to correct them: python -m pipeline.via open data/predictions/latest",
        ],
    )


def _thumbnails(out: Path) -> dict[str, str]:
    """Write small copies of some drawings; return their files by what they show."""
    from PIL import Image

    from pipeline import pictures
    from pipeline.files.atomic import whole_file
    from pipeline.prediction.picture_files import OVERLAYS

    drawings = sorted((out / OVERLAYS).iterdir())
    chosen = [drawings[number * len(drawings) // THUMBNAILS] for number in range(THUMBNAILS)] if drawings else []
    files = {}
    for number, drawing in enumerate(dict.fromkeys(chosen), 1):
        with Image.open(drawing) as image, whole_file(out / f"overlay_{number}.jpg") as file:
            image.thumbnail((pictures.LONGEST_SIDE, pictures.LONGEST_SIDE))
            file.write(pictures.jpeg(image, pictures.LARGEST))
        files[drawing.stem] = f"overlay_{number}.jpg"
    return files
