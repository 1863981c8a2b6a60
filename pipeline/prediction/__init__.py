"""Predicts pictures that nobody has labelled: the stage `predictions`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import LATEST, hold, summary
from pipeline.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.prediction.run import Outcome

KEY = "prediction.images"
FORMS = ("coco", "via", "overlays", "video", "crops", "masks", "bitmasks")
"""What can be saved beside the tables."""
BY_DEFAULT = ("coco", "via", "overlays", "video")
THUMBNAILS = 3


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return what the sources of pictures are now; raises SourceError where one is absent."""
    from pipeline.sources import resolve

    return resolve.identities_of(recipe.prediction.images, KEY, recipe, "images")


identities_of = identities


def build(recipe: Recipe, released_model: Path, out: Path, identities: dict[str, Any] | None = None) -> None:
    """Predict `prediction.images` with a model and the thresholds beside it; write the files of a run.

    Pictures that the artifact used last has from the same model are not predicted again. Raises SourceError (an absent
    source), ArchiveError (a damaged one) and ArtifactError (no usable model).
    """
    from pipeline.prediction.opening import load_model
    from pipeline.prediction.pictures import Pictures, sources_of
    from pipeline.prediction.run import run, settings_of
    from pipeline.prediction.writing.parts import Earlier

    chosen = recipe.prediction
    if not chosen.images:
        _write_none(released_model, out)
        return
    known = identities or identities_of(recipe)
    sources = list(zip(sources_of(chosen.images, KEY), known.values(), strict=True))
    with Pictures(sources, recipe, out, hashed=True, videos=False) as pictures:
        model = load_model(released_model, min_score=chosen.min_score, max_detections=chosen.max_detections)
        earlier = Earlier(hold(out.parent / LATEST), settings_of(model, BY_DEFAULT))
        outcome = run(model, pictures, out, earlier=earlier)
    summary.write(out, _summary(outcome, out))


def _write_none(released_model: Path, out: Path) -> None:
    """Write the files of a run without pictures."""
    from pipeline.prediction.writing import outputs, picture_files
    from pipeline.prediction.writing.parts import Parts
    from pipeline.training import model_file

    names = model_file.read(released_model).class_names
    predicted = Parts(out, {})
    picture_files.make_folders(out, BY_DEFAULT)
    outputs.write(predicted, out, names, BY_DEFAULT, f"{picture_files.PICTURES}/")
    predicted.finish(out)
    nothing = f"{KEY} names no pictures: nothing was predicted"
    checks = [summary.Check("every_picture_usable", True, nothing)]
    summary.write(out, summary.Summary(numbers={"pictures": 0, "detections": 0}, checks=checks, lines=[nothing]))


def _summary(outcome: "Outcome", out: Path) -> summary.Summary:
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
    from pipeline.prediction.writing.picture_files import OVERLAYS

    drawings = sorted((out / OVERLAYS).iterdir())
    chosen = [drawings[number * len(drawings) // THUMBNAILS] for number in range(THUMBNAILS)] if drawings else []
    files = {}
    for number, drawing in enumerate(dict.fromkeys(chosen), 1):
        with Image.open(drawing) as image, whole_file(out / f"overlay_{number}.jpg") as file:
            image.thumbnail((pictures.LONGEST_SIDE, pictures.LONGEST_SIDE))
            file.write(pictures.jpeg(image, pictures.LARGEST))
        files[drawing.stem] = f"overlay_{number}.jpg"
    return files
