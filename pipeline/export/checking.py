"""Compares what an exported file finds in pictures with what the model finds in them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline import recipe
from pipeline.artifacts import ancestor
from pipeline.dataset.images_zip import ARCHIVE
from pipeline.errors import ExportError
from pipeline.running.progress import Progress

if TYPE_CHECKING:
    from pipeline.evaluation.detections import Detection
    from pipeline.prediction.model import Model

Pixels = NDArray[np.uint8]
Found = dict[str, NDArray[Any]]
"""What a file finds in a picture: boxes, class_ids, scores, masks."""
Run = Callable[[Pixels], Found]

SCALES = (1.0, 0.5, 1.5)
"""Sizes of the pictures that are compared, in turn."""
BOX, SCORE, MASK = 0.5, 1e-3, 0.99
"""Bounds: difference of boxes in pixels, difference of scores, IoU of masks."""
PIXELS = 2
"""Pixels by which masks may differ, however small they are: rounding decides where a probability is one half."""
BY_CHANCE = 100
"""One in so many detections may differ by more: rounding decides between two pixels, or two equally good proposals."""


@dataclass(frozen=True)
class Difference:
    """By how much a file's detections differ from the model's; the worst of all pairs."""

    pictures: int = 0
    detections: int = 0
    """Those of the model."""
    unmatched: int = 0
    """Those of either that the other has not, unless their score is at the threshold."""
    box: float = 0.0
    """In pixels."""
    score: float = 0.0
    mask: float = 1.0
    """Least IoU."""
    beyond: int = 0
    """Unmatched ones, and pairs beyond a bound."""

    @property
    def is_acceptable(self) -> bool:
        """Whether no more are beyond the bounds than chance explains."""
        return self.beyond <= self.detections // BY_CHANCE

    def plus(self, other: "Difference") -> "Difference":
        """Return the difference over the pictures of both."""
        return Difference(
            self.pictures + other.pictures,
            self.detections + other.detections,
            self.unmatched + other.unmatched,
            max(self.box, other.box),
            max(self.score, other.score),
            min(self.mask, other.mask),
            self.beyond + other.beyond,
        )

    def table(self) -> str:
        """Return the figures above the bounds, in columns."""
        names = ("", "pictures", "detections", "unmatched", "box (px)", "score", "mask IoU")
        figures = (self.pictures, self.detections, self.unmatched, f"{self.box:.2f}", f"{self.score:.6f}")
        rows = [names, ("difference", *figures, f"{self.mask:.4f}"), ("bound", "", "", 0, BOX, SCORE, MASK)]
        return "\n".join("".join(f"{cell:>12}" for cell in row) for row in rows)


def dataset_of(model: Path) -> Path | None:
    """Return the images.zip that a model of the store was trained on, if it is there."""
    dataset = ancestor((model if model.is_dir() else model.parent).resolve(), "dataset_zip")
    return dataset / ARCHIVE if dataset and (dataset / ARCHIVE).is_file() else None


def pictures_of(source: Path, count: int) -> list[Pixels]:
    """Return `count` pictures, evenly chosen from those of val (of all, where none is val's), in three sizes.

    Raises SourceError or ArchiveError where the source is absent or damaged, ExportError where it has no picture.
    """
    from pipeline.prediction.picture import Loaded
    from pipeline.prediction.pictures import Pictures, identified, sources_of

    defaults = recipe.Recipe()
    sources = identified(sources_of([source], "--check"), defaults)
    for split in ("val", None):
        with TemporaryDirectory() as folder, Pictures(sources, defaults, Path(folder), split) as found:
            every = found.pictures
            wanted = min(count, len(every))
            chosen = [every[number * len(every) // wanted] for number in range(wanted)]
            loaded = [each.pixels for each in found.loaded(chosen) if isinstance(each, Loaded)]
        if loaded:
            return [_scaled(pixels, scale) for pixels, scale in zip(loaded, cycle(SCALES), strict=False)]
    raise ExportError(f"{source}: no picture that can be read is there to check with")


def _scaled(pixels: Pixels, scale: float) -> Pixels:
    from mrcnn.data.resizing import resize

    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return pixels if scale == 1 else resize(pixels, (height, width))


def opened(path: Path, form: str) -> Run:
    """Return a function that runs an exported file, by onnxruntime or TensorFlow."""
    return _onnx(path) if form == "onnx" else _saved_model(path)


def _onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda pixels: dict(zip(names, session.run(names, {"image": pixels}), strict=True))


def _saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(pixels: Pixels) -> Found:
        found = loaded.signatures["serving_default"](image=tf.constant(pixels))
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run


def compared(model: "Model", run: Run, pictures: Sequence[Pixels]) -> Difference:
    """Return by how much what `run` finds in the pictures differs from what the model finds."""
    total = Difference()
    with Progress("comparing", len(pictures), "image") as bar:
        for pixels in pictures:
            (expected,) = model.detect([pixels])
            total = total.plus(difference(expected, list(_detections(run(pixels), model.class_names)), model))
            bar.advance()
    return total


@dataclass(frozen=True)
class _Instance:
    """A detection of a file or of the model."""

    category: str
    score: float
    box: NDArray[np.float64]
    """(x1, y1, x2, y2) in pixels."""
    mask: NDArray[np.bool_]


def _detections(found: Found, class_names: Sequence[str]) -> Iterator[_Instance]:
    columns = (found[name] for name in ("boxes", "class_ids", "scores", "masks"))
    for box, class_id, score, mask in zip(*columns, strict=True):
        yield _Instance(class_names[int(class_id)], float(score), np.asarray(box, np.float64), mask)


def _of_model(detection: "Detection") -> _Instance:
    box = detection.box
    corners = np.array([box.x, box.y, box.x + box.width, box.y + box.height])
    return _Instance(detection.category, detection.score, corners, detection.rle.pixels())


def difference(expected: "Iterable[Detection]", found: list[_Instance], model: "Model") -> Difference:
    """Return by how much the detections in one picture differ."""
    total, free, wanted = Difference(pictures=1), list(found), [_of_model(each) for each in expected]
    alone = []
    for instance in wanted:
        same = [each for each in free if each.category == instance.category]
        best = max(same, key=lambda each: _iou(each.mask, instance.mask), default=None)
        if best is None or _iou(best.mask, instance.mask) < 0.5:
            alone.append(instance)
            continue
        free = [each for each in free if each is not best]
        total = total.plus(_of_pair(instance, best))
    unmatched = sum(each.score - model.thresholds[each.category] > SCORE for each in (*alone, *free))
    return total.plus(Difference(detections=len(alone), unmatched=unmatched, beyond=unmatched))


def _of_pair(first: _Instance, second: _Instance) -> Difference:
    box = float(np.abs(first.box - second.box).max())
    score, iou = abs(first.score - second.score), _iou(first.mask, second.mask)
    if np.count_nonzero(first.mask != second.mask) <= PIXELS:
        iou = 1.0
    beyond = box > BOX or score > SCORE or iou < MASK
    return Difference(detections=1, box=box, score=score, mask=iou, beyond=int(beyond))


def _iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0
