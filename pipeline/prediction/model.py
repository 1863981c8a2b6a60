"""A trained model as it is used: opened from a folder, thresholds of the report with it, and asked for predictions."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import recipe
from pipeline.artifacts import MANIFEST, Artifact, Manifest, Store, fingerprint_of
from pipeline.errors import ArtifactError
from pipeline.evaluation import detections
from pipeline.evaluation.detections import Detection, Detector
from pipeline.evaluation.scores import FALLBACK
from pipeline.prediction import tiles
from pipeline.prediction.pictures import (
    Known,
    Loaded,
    Pictures,
    Pixels,
    Unusable,
    frames,
    identified,
    of_array,
    sources_of,
)
from pipeline.prediction.prediction import Prediction
from pipeline.prediction.suppression import suppressed
from pipeline.prediction.tracks import Tracker
from pipeline.recipe import Recipe
from pipeline.recipe.spelling import did_you_mean
from pipeline.running.tensorflow_start import start_tensorflow
from pipeline.running.threads import in_batches
from pipeline.stages import STAGES
from pipeline.training import model_file

THRESHOLDS = "thresholds.json"

log = logging.getLogger(__name__)

Predicted = tuple[Loaded, tuple[Detection, ...]] | Unusable | Known
"""A picture with what was found in it, or why it can't be used, or what is known of it."""
PictureSources = str | Path | NDArray[Any] | Sequence[str | Path | NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """A model that is ready to detect."""

    detector: Detector
    class_names: tuple[str, ...]
    """Background first."""
    thresholds: Mapping[str, float]
    """The least score of each class that is wanted."""
    max_detections: int
    batch_size: int
    fingerprint: str
    """That of the artifact, or the start of the SHA-256 of the weights."""
    tile: int | None = None
    overlap: float = tiles.OVERLAP
    agnostic_nms: bool = False

    def detect(self, images: Sequence[Pixels]) -> list[tuple[Detection, ...]]:
        """Return what is found in pictures, [height, width, 3] uint8 RGB each, highest score first."""
        if self.tile:
            tiled = partial(tiles.detect, size=self.tile, overlap=self.overlap, agnostic=self.agnostic_nms)
            return [tiled(self._found, each)[: self.max_detections] for each in images]
        found = self._found(images)
        return [suppressed(each, agnostic=True) for each in found] if self.agnostic_nms else found

    def _found(self, images: Sequence[Pixels]) -> list[tuple[Detection, ...]]:
        results = self.detector.detect(list(images), verbose=0, masks="rle")
        found = (detections.of_result(each, self.class_names, 0.0, self.max_detections) for each in results)
        return [tuple(each for each in of_image if self._wants(each)) for of_image in found]

    def predict(
        self, pictures: PictureSources, *, every: int = 1, fps: float | None = None, tracks: bool = False
    ) -> Iterator[Prediction]:
        """Yield what is found in pictures: a file, folder, pattern, zip or address, an array, or several of them.

        Of a video, a stream or a camera, each `every`th frame is a picture, or with `fps` so many a second; its place
        is `.picture.moment`, and with `tracks` each detection has the number of its `track`.

        Pictures are read ahead, so that any number of them needs the memory of a few. One that can't be read is warned
        of and passed over. Raises SourceError where a source is absent.
        """
        given = [pictures] if isinstance(pictures, str | Path | np.ndarray) else list(pictures)
        arrays = [of_array(each, number) for number, each in enumerate(given, 1) if isinstance(each, np.ndarray)]
        entries = [each for each in given if not isinstance(each, np.ndarray)]
        yield from filter(None, map(self._prediction, self.detected(arrays)))
        defaults = recipe.Recipe()
        sources = identified(sources_of(entries, "predict"), defaults)
        with TemporaryDirectory() as folder, Pictures(sources, defaults, Path(folder)) as found:
            everything = chain(found.unusable, found.loaded(found.pictures))
            yield from filter(None, map(self._prediction, self.detected(everything)))
            for each in found.videos:
                of_video = self.detected(frames(each, every, fps))
                of_video = followed(of_video) if tracks else of_video
                yield from filter(None, map(self._prediction, of_video))

    def detected(self, pictures: Iterable[Loaded | Unusable | Known]) -> Iterator[Predicted]:
        """Yield each picture with what is found in it, found in batches; others come at their own place."""
        for batch in in_batches(pictures, self.batch_size):
            loaded = [each for each in batch if isinstance(each, Loaded)]
            found = iter(self.detect([each.pixels for each in loaded]) if loaded else ())
            for each in batch:
                yield (each, next(found)) if isinstance(each, Loaded) else each

    def prediction(self, loaded: Loaded, found: tuple[Detection, ...]) -> Prediction:
        """Return a picture and what was found in it as one."""
        return Prediction(loaded.picture, loaded.pixels, found, self.class_names)

    def _prediction(self, each: Predicted) -> Prediction | None:
        if isinstance(each, tuple):
            return self.prediction(*each)
        if isinstance(each, Unusable):
            log.warning("%s is passed over: %s", each.picture.where, each.reason)
        return None

    def _wants(self, detection: Detection) -> bool:
        return detection.score >= self.thresholds.get(detection.category, np.inf)


def followed(predicted: Iterable[Predicted]) -> Iterator[Predicted]:
    """Yield the frames of a video, their detections with the numbers of their tracks."""
    tracker = Tracker()
    for each in predicted:
        yield (each[0], tracker.follow(each[1])) if isinstance(each, tuple) else each


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
    thresholds: Path | None = None,
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
        thresholds: the thresholds.json of a report, to be used in place of those that are found.
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
    known = described.class_names[1:]
    for name in classes:
        if name not in known:
            raise ArtifactError(f"{folder}: the model has no class {name!r}{did_you_mean(name, known)}; it has {known}")
    wanted = [name for name in known if not classes or name in classes]
    least = dict.fromkeys(wanted, min_score) if min_score is not None else _thresholds(folder, wanted, thresholds)
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


def _thresholds(folder: Path, classes: Sequence[str], file: Path | None) -> dict[str, float]:
    """Return the score from which each class is shown, as the model's report chose it; 0.5 without one."""
    file = file or next((each for each in (folder / THRESHOLDS, *_reports(folder)) if each.is_file()), None)
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
    """Return the folder or weights file of a model: named by its path or fingerprint, else the newest of the store.

    With `chosen`, the newest that was trained as this recipe says. Raises ArtifactError where there is none.
    """
    if named and Path(named).exists():
        return Path(named)
    stage, store = STAGES["trained_model"], Store()
    trained = store.complete(stage)
    if named:
        fitting = [each for each in trained if each.fingerprint.startswith(named)]
        advice = f"{named} is neither a folder, a weights file nor the fingerprint of a model in {store.root}"
    elif chosen:
        fitting = [each for each in trained if _follows(each, chosen)]
        advice = f"no model of this recipe is under {store.root}: train it (make run), or name another with --model"
    else:
        fitting, advice = trained, f"no model is under {store.root}: train one (make demo), or name one with --model"
    if not fitting:
        raise ArtifactError(f"--model: {advice}")
    return fitting[0].folder


def _follows(model: Artifact, chosen: Recipe) -> bool:
    """Return whether a model was trained as a recipe says."""
    return Manifest.read(model.folder).recipe == STAGES["trained_model"].recipe_part(chosen)
