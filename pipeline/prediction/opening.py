"""Opens a trained model for prediction: which one, its settings, and the thresholds of its report."""

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pipeline.artifacts import MANIFEST, Artifact, Manifest, Store, fingerprint_of, hold, released
from pipeline.errors import ArtifactError
from pipeline.evaluation.scores import FALLBACK
from pipeline.prediction import tiles
from pipeline.prediction.model import Model
from pipeline.recipe import Recipe
from pipeline.recipe.spelling import did_you_mean
from pipeline.running.tensorflow_start import start_tensorflow
from pipeline.stages import RELEASED, STAGES
from pipeline.training import model_file

THRESHOLDS = "thresholds.json"

log = logging.getLogger(__name__)


def load_model(
    where: str | Path,
    *,
    min_score: float | None = None,
    classes: Collection[str] = (),
    max_detections: int = 100,
    batch_size: int = 1,
    tile: int | None = None,
    overlap: float = tiles.OVERLAP,
    agnostic_nms: bool = False,
    network: Recipe | None = None,
) -> Model:
    """Open a trained model for prediction.

    Args:
        where: a folder with model.json and weights, as `trained_model` makes it, or the weights file in one.
        min_score: the least score of a detection; by default each class has the threshold of the model's report (that
            beside the model, or the newest of its store), and 0.5 where there is none.
        classes: those that are wanted; by default all of the model.
        max_detections: most detections an image.
        batch_size: pictures that the network takes at once.
        tile: side of the tiles in pixels into which large pictures are cut, for objects that are small in them.
        overlap: share of a tile's side that neighbouring tiles have in common.
        agnostic_nms: of overlapping detections of different classes, keep the one of the highest score.
        network: for a weights file without model.json: the recipe of its network; its classes are all of the recipe's
            categories, in that order.

    Raises:
        ArtifactError: there is no model, its weights don't fit, or it has no such class.
    """
    path = Path(where)
    folder = path if path.is_dir() else path.parent
    described = (
        model_file.read(folder) if not network or (folder / model_file.FILE).exists() else model_file.of_recipe(network)
    )
    least = _least_scores(folder, described.class_names[1:], classes, min_score)
    start_tensorflow()
    detector = model_file.opened(
        described,
        folder / model_file.weights_file(described.name) if path.is_dir() else path,
        DETECTION_MIN_CONFIDENCE=min(least.values(), default=FALLBACK),
        DETECTION_MAX_INSTANCES=max_detections,
        IMAGES_PER_GPU=batch_size,
    )
    return Model(
        detector,
        described.class_names,
        least,
        max_detections,
        batch_size,
        fingerprint_of(path),
        tile,
        overlap,
        agnostic_nms,
    )


def _least_scores(
    folder: Path, known: Sequence[str], classes: Collection[str], min_score: float | None
) -> dict[str, float]:
    """Return the least score of each wanted class; raises ArtifactError for one that the model doesn't have."""
    for name in classes:
        if name not in known:
            raise ArtifactError(f"{folder}: the model has no class {name!r}{did_you_mean(name, known)}; it has {known}")
    wanted = [name for name in known if not classes or name in classes]
    return _thresholds(folder, wanted) if min_score is None else dict.fromkeys(wanted, min_score)


def _thresholds(folder: Path, classes: Sequence[str]) -> dict[str, float]:
    """Return the score from which each class is shown, as the model's report chose it; 0.5 without one."""
    file = next((each for each in (folder / THRESHOLDS, *_reports(folder)) if each.is_file()), None)
    if file is None:
        log.info("%s: no report of this model was found, so that detections count from a score of %s", folder, FALLBACK)
        return dict.fromkeys(classes, FALLBACK)
    try:
        chosen = json.loads(file.read_text("utf-8"))["classes"]
        scores = {name: chosen.get(name, {}).get("score") for name in classes}
        return {name: FALLBACK if score is None else float(score) for name, score in scores.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{file}: not the thresholds of a report ({error})") from None


def _reports(folder: Path) -> Iterator[Path]:
    """Yield the thresholds of reports about a model of a store, the one used last first."""
    folder = folder.resolve()
    if not (folder / MANIFEST).is_file():
        return
    for report in Store(folder.parent.parent).complete(STAGES["evaluation_report"]):
        if Manifest.read(report.folder).inputs.get("trained_model") == folder.name:
            yield report.folder / THRESHOLDS


def find_model(named: str | None, chosen: Recipe | None = None) -> Path:
    """Return the folder or weights file of a model: named by its path or fingerprint, else the one released last.

    With `chosen`, the one released under this recipe's name. Where none is released, it is the newest that was trained
    (as `chosen` says). Raises ArtifactError where there is none.
    """
    if named and Path(named).exists():
        return hold(Path(named))
    store = Store()
    everything = [*store.complete(STAGES[RELEASED]), *store.complete(STAGES["trained_model"])]
    if named:
        fitting = [each for each in everything if each.fingerprint.startswith(named)]
        advice = f"{named} is neither a folder, a weights file nor the fingerprint of a model in {store.root}"
    elif chosen:
        of_the_name = released.released(store, chosen.name)
        fitting = [of_the_name] if of_the_name else [each for each in everything if _follows(each, chosen)]
        advice = f"no model of this recipe is under {store.root}: train it (make run), or name another with --model"
    else:
        fitting = [*released.all_released(store).values(), *everything]
        advice = f"no model is under {store.root}: train one (make demo), or name one with --model"
    if not fitting:
        raise ArtifactError(f"--model: {advice}")
    return hold(fitting[0].folder)


def _follows(model: Artifact, chosen: Recipe) -> bool:
    """Return whether a model was trained as a recipe says."""
    made_by = STAGES["trained_model"]
    return model.name == made_by.name and Manifest.read(model.folder).recipe == made_by.recipe_part(chosen)
