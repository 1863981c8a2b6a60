"""A run into a folder: pictures and videos read, predicted and drawn at the same time."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files.atomic import write_json
from pipeline.prediction import BY_DEFAULT
from pipeline.prediction.model import Model, Predicted, followed
from pipeline.prediction.opening import THRESHOLDS
from pipeline.prediction.picture import Known, Loaded, Picture, Pixels, Unusable, encoded, frames_of
from pipeline.prediction.pictures import Pictures
from pipeline.prediction.prediction import Prediction
from pipeline.prediction.video import BadVideoError, Reader, Writer
from pipeline.prediction.writing import outputs, parts, picture_files
from pipeline.prediction.writing.parts import Earlier, Parts
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map

VIDEOS = "videos"
"""The folder of annotated videos."""
WRITERS = 2
"""Threads that draw and write."""

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


@dataclass(frozen=True)
class OfVideos:
    """What is wanted of videos: each `every`th frame, or `fps` frames a second; with `tracks`, things are followed."""

    every: int = 1
    fps: float | None = None
    tracks: bool = False


EVERY_FRAME = OfVideos()


def settings_of(model: Model, save: Sequence[str], of_videos: OfVideos = EVERY_FRAME) -> dict[str, Any]:
    """Return what decides the files of a run, beside its pictures."""
    return {
        "model": model.fingerprint,
        "classes or scores": dict(model.thresholds),
        "number of detections": model.max_detections,
        "tiles": [model.tile, model.overlap],
        "suppression": model.agnostic_nms,
        "choice of frames or tracks": vars(of_videos),
        "files": sorted(save),
    }


def run(
    model: Model,
    pictures: Pictures,
    out: Path,
    save: Sequence[str] = BY_DEFAULT,
    of_videos: OfVideos = EVERY_FRAME,
    force: bool = False,
    earlier: Earlier | None = None,
) -> Outcome:
    """Predict the pictures into the folder `out`; those that an interrupted run has finished are not done again.

    With `earlier`, `out` is an artifact's: what was found then is taken over, and no part is left. Raises ArtifactError
    where `out` holds predictions with other settings, unless `force`; KeyboardInterrupt after the files of what is
    finished were written.
    """
    if force:
        Parts.discard(out)
    predicted = Parts(out, settings_of(model, save, of_videos))
    wanted = [each for each in pictures.pictures if not predicted.has(each)]
    videos = [each for each in pictures.videos if not predicted.has(each)]
    this = _Run(model, out, save, of_videos, predicted, earlier)
    started = time.monotonic()
    interrupted, new = False, len(wanted)
    try:
        with predicted:
            for each in pictures.unusable:
                if not predicted.has(each.picture):
                    predicted.add(this.write(each).row)
            this.predict(pictures, wanted)
            new += sum(map(this.predict_video, videos))
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.monotonic() - started
    shown = f"{picture_files.PICTURES}/" if earlier else f"{out.absolute()}/{picture_files.PICTURES}/"
    totals = outputs.write(predicted, out, model.class_names, save, shown)
    scores = {name: {"score": score} for name, score in model.thresholds.items()}
    write_json(out / THRESHOLDS, {"classes": scores})  # by them `--order uncertain` tells which detections are unsure
    if interrupted:
        raise KeyboardInterrupt(f"{out} holds what was predicted so far, and the same command goes on from there")
    if earlier:
        predicted.finish(out)
    return Outcome(totals.pictures, totals.classes, totals.rejected, new, seconds)


@dataclass(frozen=True)
class _Written:
    """What becomes of a picture: its row, whether that is a new one, and the drawing of a frame for the video."""

    row: dict[str, Any]
    is_new: bool = True
    drawing: Pixels | None = None


class _Run:
    """A run into a folder."""

    def __init__(
        self,
        model: Model,
        out: Path,
        save: Sequence[str],
        of_videos: OfVideos,
        predicted: Parts,
        earlier: Earlier | None,
    ) -> None:

        self._model, self._out, self._of_videos = model, out, of_videos
        self._predicted, self._earlier = predicted, earlier
        self._folders = picture_files.make_folders(out, save)
        self._draws = "video" in save

    def predict(self, pictures: Pictures, wanted: Sequence[Picture]) -> None:
        """Read, predict and draw pictures, the three at the same time, and add each, in order."""
        with Progress("predicting", len(wanted), "image") as bar:
            started = time.monotonic()
            found = self._model.detected(pictures.loaded(map(self._with_what_is_known, wanted)))
            for written in ordered_map(self.write, found, batch_size=1, threads=WRITERS):
                self._predicted.add(written.row)
                bar.advance(note=f"{(bar.done + 1) / (time.monotonic() - started):.1f} images/s")

    def _with_what_is_known(self, picture: Picture) -> Picture | Known:

        row = self._earlier.known(picture) if self._earlier else None
        return Known(picture, row) if row else picture

    def predict_video(self, video: Picture) -> int:
        """Predict the frames of a video that are not finished; return how many there were."""
        wanted, new, reason = self._of_videos, 0, None
        try:
            reader = Reader(video.where, wanted.every, wanted.fps)
        except BadVideoError as error:
            self._predicted.add(self.write(Unusable(video, str(error))).row)
            return 0
        path = self._out / VIDEOS / (video.name if video.name.lower().endswith(".mp4") else f"{video.name}.mp4")
        progress = Progress(f"predicting {video.name}", reader.expected, "frame")
        with reader, Writer(path, reader.rate) as writer, progress as bar:
            for written in ordered_map(self.write, self._frames(video, reader), batch_size=1, threads=WRITERS):
                if written.drawing is not None:
                    writer.write(written.drawing, written.row["time"])
                if written.is_new:
                    self._predicted.add(written.row)
                reason = written.row.get("reason")
                new += written.is_new and reason is None
                bar.advance()
        if reason is None:
            self._predicted.add(parts.row(video, video=video.name, detections=[]))
        return new

    def _frames(self, video: Picture, reader: Reader) -> Iterator[Predicted]:
        """Yield the frames with what is found in them; those that are finished come first, with what was found."""
        frames = frames_of(video, reader)
        found = chain(self._finished(video, frames), self._model.detected(frames))
        return followed(found) if self._of_videos.tracks else found

    def _finished(self, video: Picture, frames: Iterator["Loaded | Unusable"]) -> Iterator[Predicted]:
        """Take the frames that an interrupted run has finished, and yield them with what it found."""
        for row, frame in zip(self._predicted.frames_of(video), frames, strict=False):
            yield (frame, parts.detections_of(row)) if isinstance(frame, Loaded) else frame

    def write(self, each: Predicted) -> _Written:
        """Write the files of a picture, unless it is a frame that is finished."""
        if isinstance(each, Known):
            assert self._earlier
            picture_files.take_over(each.picture, self._earlier.folder, self._out, self._folders)
            return _Written(each.row)
        if isinstance(each, Unusable):
            log.warning("%s is left out: %s", each.picture.where, each.reason)
            return _Written(parts.row(each.picture, reason=each.reason, detections=[]))
        prediction = self._model.prediction(*each)
        if prediction.picture.moment:
            return self._write_frame(prediction)
        picture_files.write(prediction, self._out, self._folders)
        return _Written(_row(prediction))

    def _write_frame(self, prediction: Prediction) -> _Written:
        """Write the files of a frame, which is drawn for the video or by itself."""
        is_new = not self._predicted.has(prediction.picture)
        folders = [each for each in self._folders if not (self._draws and each == picture_files.OVERLAYS)]
        if is_new and picture_files.PICTURES in folders:
            prediction = replace(prediction, picture=encoded(prediction.picture))
        if is_new:
            picture_files.write(prediction, self._out, folders)
        return _Written(_row(prediction), is_new, np.asarray(prediction.plot()) if self._draws else None)


def _row(prediction: Prediction) -> dict[str, Any]:

    height, width = prediction.pixels.shape[:2]
    rows = [parts.detection_row(each) for each in prediction.detections]
    return parts.row(prediction.picture, width=width, height=height, detections=rows)
