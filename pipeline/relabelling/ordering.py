"""Puts pictures first that are likeliest wrong: finds the detections that belong to labels, asks which are suspect."""

import csv
import io
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts import MANIFEST, Manifest, Store
from pipeline.dataset.images_zip import ImageRecord
from pipeline.dataset.labels import LabelledEntry
from pipeline.errors import ArtifactError
from pipeline.evaluation.detections import Detection, JudgedImage, Rle, truth_in
from pipeline.evaluation.exports import SCHEMA
from pipeline.files.atomic import whole_file
from pipeline.geometry.polygon import Box
from pipeline.relabelling import suspects
from pipeline.relabelling.suspects import Suspect
from pipeline.stages import STAGES

DETECTIONS, JUDGED, PREDICTED = "detections.parquet", "coco_ground_truth.json", "images.parquet"
THRESHOLDS = "thresholds.json"
REASONS, LEAST = 3, 0.55
"""At most so many reasons are given for a picture, of suspects with at least this score."""

Size = tuple[int, int]
"""Width and height in pixels."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a model has found: the pictures that it saw, with their sizes, and the detections of each."""

    sizes: Mapping[str, Size]
    detections: Mapping[str, tuple[Detection, ...]]
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class Ranking:
    """The suspects of some pictures, likeliest errors first, and the score of each picture that has any."""

    suspects: Sequence[Suspect]
    scores: Mapping[str, float]

    @classmethod
    def of(cls, found: Sequence[Suspect]) -> "Ranking":
        """Return the ranking of these suspects."""
        return cls(found, suspects.pooled(found))

    def reasons(self) -> dict[str, str]:
        """Return in a few words why each picture stands first; nothing for one without a strong suspect."""
        given: defaultdict[str, list[str]] = defaultdict(list)
        for each in self.suspects:
            if each.score >= LEAST and len(given[each.image]) < REASONS:
                given[each.image].append(each.reason)
        return {image: "; ".join(reasons) for image, reasons in given.items() if reasons}

    def write(self, path: Path, images: set[str]) -> None:
        """Write the suspects of these images as CSV, likeliest errors first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["picture", "instance", "category", "kind", "score", "reason"])
        for each in self.suspects:
            if each.image in images:
                writer.writerow([each.image, each.instance, each.category, each.kind, f"{each.score:.4f}", each.reason])
        with whole_file(path) as file:
            file.write(text.getvalue().encode())


def of_detections(folder: Path) -> Ranking:
    """Return how the pictures of a report or of predictions rank by their detections alone; raises ArtifactError."""
    found = read(folder)
    return Ranking.of(suspects.of_detections(found.detections, found.thresholds))


def of_labels(labelled: Mapping[str, LabelledEntry], found: Found, where: Path) -> Ranking:
    """Return how labelled pictures, by name, rank by the disagreement of labels and detections.

    Pictures that the model has not seen come last. Raises ArtifactError if it saw none, or one of another size.
    """
    seen = [name for name in labelled if name in found.sizes]
    if not seen:
        raise ArtifactError(f"{where}: holds none of the pictures; name detections of them by --detections")
    if len(seen) < len(labelled):
        log.warning("%d pictures are not in %s, and come last", len(labelled) - len(seen), where)
    return Ranking.of(suspects.of_labels([_judged(name, labelled[name], found, where) for name in seen]))


def _judged(name: str, labelled: LabelledEntry, found: Found, where: Path) -> JudgedImage:
    stated = labelled.size
    width, height = found.sizes[name]
    if all(stated) and stated != (width, height):
        raise ArtifactError(f"{where}: {name} is {width}x{height} there, but {stated[0]}x{stated[1]} in its labels")
    record = ImageRecord(name, "", width, height, tuple(labelled.instances), name, 0, 0)
    return JudgedImage(record, truth_in(record), found.detections.get(name, ()))


def found_for(names: set[str], dataset: Path, given: Path | None) -> tuple[Found, Path]:
    """Return the detections in the folder `given`, by default of the newest report about a dataset in its store.

    A report counts that judged any of the pictures. Raises ArtifactError where there is none.
    """
    if given is not None:
        return read(given), given
    for report in _reports(dataset.resolve()):
        found = read(report)
        if not names.isdisjoint(found.sizes):
            return found, report
    raise ArtifactError(
        f"{dataset}: no report in its store judged these pictures; make one with `python -m pipeline.evaluation` "
        "(--set evaluation.split=train for those of train), or name a folder with detections.parquet by --detections"
    )


def _reports(dataset: Path) -> Iterator[Path]:
    if not (dataset / MANIFEST).is_file():
        return
    for each in Store(dataset.parent.parent).complete(STAGES["evaluation_report"]):
        if Manifest.read(each.folder).inputs.get("dataset_zip") == dataset.name:
            yield each.folder


def read(folder: Path) -> Found:
    """Return what the folder of a report or of predictions holds; raises ArtifactError for another, or damaged one."""
    for file in (DETECTIONS, JUDGED if (folder / JUDGED).exists() else PREDICTED):
        if not (folder / file).is_file():
            raise ArtifactError(f"{folder}: has no {file}: it is neither a report nor a folder of predictions")
    try:
        rows = pq.read_table(folder / DETECTIONS, columns=SCHEMA.names).cast(SCHEMA).to_pylist()
        sizes = _sizes(folder)
        detections: defaultdict[str, list[Detection]] = defaultdict(list)
        for row in rows:
            rle = Rle.from_coco(row["rle"])
            if (rle.width, rle.height) != sizes[row["image"]] or rle.area != row["area"]:
                raise ValueError(f"a mask of {row['image']} has another size than the picture, or than is stated")
            detections[row["image"]].append(Detection(row["category"], row["score"], rle, Box(**row["box"])))
        by_score = {name: tuple(sorted(each, key=lambda one: -one.score)) for name, each in detections.items()}
        return Found(sizes, by_score, _thresholds(folder, by_score))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{folder}: its detections can't be read: {error}") from None


class _Image(msgspec.Struct):
    file_name: str
    width: int
    height: int


class _Truth(msgspec.Struct):
    images: list[_Image]


class _Threshold(msgspec.Struct):
    score: float | None


class _Thresholds(msgspec.Struct):
    classes: dict[str, _Threshold]


def _sizes(folder: Path) -> dict[str, Size]:
    if (folder / JUDGED).exists():
        judged = msgspec.json.decode((folder / JUDGED).read_bytes(), type=_Truth).images
        return {each.file_name: (each.width, each.height) for each in judged}
    columns = pq.read_table(folder / PREDICTED, columns=["image", "width", "height"]).to_pydict()
    return {name: (w, h) for name, w, h in zip(columns["image"], columns["width"], columns["height"], strict=True)}


def _thresholds(folder: Path, detections: Mapping[str, Sequence[Detection]]) -> dict[str, float]:
    """Return the thresholds of a report; of predictions, the least score of each class, where they were cut."""
    if (folder / THRESHOLDS).exists():
        classes = msgspec.json.decode((folder / THRESHOLDS).read_bytes(), type=_Thresholds).classes
        return {name: each.score for name, each in classes.items() if each.score is not None}
    least: dict[str, float] = {}
    for each in (one for of_image in detections.values() for one in of_image):
        least[each.category] = min(each.score, least.get(each.category, 1.0))
    return least
