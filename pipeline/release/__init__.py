"""The stage `released_model`: a model with all that it needs to be used, in one folder."""

import os
import shutil
from pathlib import Path

from pipeline.artifacts import summary
from pipeline.errors import ArtifactError
from pipeline.files.atomic import whole_file
from pipeline.recipe import Recipe

CARD = "model_card.md"
OF_THE_REPORT = ("thresholds.json", "metrics.json")


def build(recipe: Recipe, trained_model: Path, evaluation_report: Path, out: Path) -> None:
    """Put weights, settings, thresholds, figures and a model card into `out`.

    Whether a model is released is decided before (`gate`). Raises ArtifactError where a folder is not whole.
    """
    from pipeline.release import card
    from pipeline.training import model_file

    described = model_file.read(trained_model)
    weights = model_file.weights_file(described.name)
    files = [trained_model / weights, trained_model / model_file.FILE]
    for file in [*files, *(evaluation_report / name for name in OF_THE_REPORT)]:
        if not file.is_file():
            raise ArtifactError(f"{file}: is missing, so that the model can't be released")
        _link_or_copy(file, out / file.name)
    with whole_file(out / CARD) as written:
        written.write(card.text(recipe, trained_model, evaluation_report).encode())
    summary.write(out, summary.Summary(texts={"weights": weights, "classes": ", ".join(described.class_names[1:])}))


def _link_or_copy(file: Path, to: Path) -> None:
    """Put a file into a folder, without taking its space again where the file system can."""
    to.unlink(missing_ok=True)
    try:
        os.link(file, to)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, to)
