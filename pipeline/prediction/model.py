"""A trained model as it is used: opened from a folder, thresholds of the report with it, and asked for predictions."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import recipe
from pipeline.evaluation import detections
from pipeline.evaluation.detections import Detection, Detector
from pipeline.prediction import tiles
from pipeline.prediction.picture import Known, Loaded, Pixels, Unusable, frames, of_array
from pipeline.prediction.pictures import Pictures, identified, sources_of
from pipeline.prediction.prediction import Prediction
from pipeline.prediction.suppression import suppressed
from pipeline.prediction.tracks import Tracker
from pipeline.running.tensorflow_start import memory_named
from pipeline.running.threads import in_batches

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
        with memory_named("prediction", detections.less_memory("batch_size (--batch)", images)):
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
