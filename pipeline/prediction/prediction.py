"""What a model found in one picture, as arrays, a drawing, and the forms of COCO, VIA and pandas."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import pictures
from pipeline.evaluation.detections import Detection
from pipeline.evaluation.exports import via_regions
from pipeline.evaluation.report.overlays import DrawnInstance, drawn
from pipeline.files.atomic import whole_file
from pipeline.formats.via.writing import Entry
from pipeline.prediction.picture import Picture, Pixels

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """A picture and the instances found in it, highest score first.

    Coordinates are pixels of the picture; x runs right, y down, from the left upper corner.
    """

    picture: Picture
    pixels: Pixels
    """[height, width, 3] uint8 RGB."""
    detections: tuple[Detection, ...]
    class_names: tuple[str, ...]
    """Those of the model, background first."""

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Boxes, [N, 4] (x1, y1, x2, y2) float64."""
        corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in (each.box for each in self.detections)]
        return np.array(corners, np.float64).reshape(-1, 4)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Masks, [N, height, width] bool."""
        masks = [each.rle.pixels() for each in self.detections]
        return np.stack(masks) if masks else np.zeros((0, *self.pixels.shape[:2]), np.bool_)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores, [N] float64."""
        return np.array([each.score for each in self.detections], np.float64)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class of each instance."""
        return tuple(each.category for each in self.detections)

    def plot(self) -> Image.Image:
        """Return the picture with its instances drawn over it, each in the colour of its class."""
        instances = [DrawnInstance(self._colour(each), _caption(each), each.rle) for each in self.detections]
        return drawn(self.pixels, instances)

    def save(self, path: str | Path) -> Path:
        """Write the drawing to a file, .jpg or .png, whole or not at all; return its path."""
        path = Path(path)
        with whole_file(path) as file:
            if path.suffix.lower() == ".png":
                self.plot().save(file, "PNG")
            else:
                file.write(pictures.jpeg(self.plot()))
        return path

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Return COCO's results: a dict an instance; categories are numbered from 1 in the model's order."""
        return [coco_result(each, image_id, self.class_names) for each in self.detections]

    def to_via(self) -> Entry:
        """Return the picture as an entry of a VIA file; `region_data()` of it is VIA 1's, `project_data()` VIA 2's."""
        height, width = self.pixels.shape[:2]
        return Entry(self.picture.name, self.picture.size, width, height, {}, regions(self.detections))

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row an instance: image, category, score, x1, y1, x2, y2, area (pixels of the mask), track."""
        import pandas as pd

        table = pd.DataFrame(self.boxes, columns=["x1", "y1", "x2", "y2"])
        table.insert(0, "image", self.picture.name)
        table.insert(1, "category", self.classes)
        table.insert(2, "score", self.scores)
        tracks = [each.track for each in self.detections]
        return table.assign(area=[each.rle.area for each in self.detections], track=pd.array(tracks, "Int64"))

    def _colour(self, detection: Detection) -> str:
        return pictures.colour(self.class_names.index(detection.category) - 1)


def _caption(detection: Detection) -> str:
    number = "" if detection.track is None else f" {detection.track}"
    return f"{detection.category}{number} {detection.score:.2f}"


def regions(detections: Sequence[Detection]) -> list[dict[str, Any]]:
    """Return VIA's regions of a picture's instances; those of one instance share the attribute `instance`."""
    numbered = enumerate(detections, 1)
    return [region for number, each in numbered for region in via_regions(each, f"detection {number}")]


def coco_result(detection: Detection, image_id: int, class_names: Sequence[str]) -> dict[str, Any]:
    """Return an instance as COCO's results have it; `class_names` has background first."""
    box = detection.box
    return {
        "image_id": image_id,
        "category_id": class_names.index(detection.category),
        "segmentation": detection.rle.coco,
        "bbox": [box.x, box.y, box.width, box.height],
        "score": detection.score,
    }
