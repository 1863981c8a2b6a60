"""The raw tables, built label by label: curves are flattened, shapes without area rejected, ids made distinct."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.geometry import curves, polygon, ring_table
from pipeline.geometry.polygon import Ring
from pipeline.geometry.ring_table import RingTable
from pipeline.instances import reasons
from pipeline.instances.tables import RAW_LABELS, bounding_boxes, boxes, distinct_ids, polygons, texts

ENOUGH_LABELS, ENOUGH_VERTICES = 16_384, 250_000
"""Rows that are made into tables at once: labels that were traced have thousands of vertices."""

LONGEST_NUMBER = 4300
"""Digits that Python's parser of JSON accepts."""
_LONG_NUMBER = re.compile(r"\d{1000}")

LINE = "line"
"""Geometry of a label whose paths are open: a lane marking."""

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""
Path = tuple[Sequence[tuple[float, float]], str | None]
"""A path of BDD's poly2d: its vertices, and a letter for each."""
Size = tuple[int, int]
"""Width and height in pixels."""


class Description(msgspec.Struct, frozen=True, eq=False, gc=False):
    """All columns of a label but its id and geometry; labels with equal ones may share a description."""

    category: str | None
    kind: str | None = None
    attributes: str = "{}"
    """JSON of the attributes that have no column."""
    crowd: bool = False
    ignored: bool = False
    occluded: bool | None = None
    truncated: bool | None = None
    part_of: str | None = None


UNKNOWN = Description(None)


class Tables(NamedTuple):
    """Raw tables of some images. `images` numbers its files; `image` and `row` of the others are rows of `images`."""

    images: pa.Table
    """Columns file, name, video, width, height, size, attributes."""
    labels: pa.Table
    """Columns as in `tables.RAW_LABELS`."""
    rejected: pa.Table
    """Columns as in `tables.RAW_REJECTED`, but without `source`."""


class _Image(msgspec.Struct):
    file: int
    name: str
    video: str | None
    attributes: str
    first: int
    """Its first label."""
    source_labels: Callable[[], Sequence[Any]]
    """Returns its labels as the file has them: JSON (bytes), or decoded values."""
    size: tuple[int | None, int | None] = (None, None)
    file_size: int | None = None


class TableBuilder:
    """Collects images and their labels, one after the other, and makes tables of them."""

    def __init__(self, curve_tolerance: float, write: Callable[[Tables], None] | None = None) -> None:
        """`curve_tolerance` is in pixels; `write` gets the tables whenever there are many rows."""
        self.curve_tolerance, self._write = curve_tolerance, write
        self._clear()

    def _clear(self) -> None:
        self._images: list[_Image] = []
        self._image_faults: list[tuple[int, str, str]] = []
        """Image, reason, JSON."""
        self._ids: list[str] = []
        self._descriptions: list[Description] = []
        self._geometries: list[str] = []
        self._reasons: dict[int, str] = {}
        """Why a label is rejected, by label."""
        self._boxed: list[int] = []
        self._corners: list[Corners] = []
        self._drawn: list[int] = []
        """The label of each path."""
        self._paths: list[Path] = []
        self._traced: list[int] = []
        """The label of each ring."""
        self._rings: list[Ring] = []
        self._mask_sizes: dict[int, Size] = {}
        self._vertices = 0

    def add_image(
        self,
        file: int,
        name: str,
        source_labels: Callable[[], Sequence[Any]],
        video: str | None = None,
        attributes: str = "{}",
    ) -> None:
        """Add an image of the label file of this number; the labels that are added next are its labels.

        `source_labels` returns them as the file has them, as many and in the same order.
        """
        enough = len(self._ids) >= ENOUGH_LABELS or len(self._images) >= ENOUGH_LABELS
        if enough or self._vertices >= ENOUGH_VERTICES:
            self.flush()
        self._finish_image()
        self._images.append(_Image(file, name, video, attributes, len(self._ids), source_labels))

    def set_image_size(self, size: Size) -> None:
        """Set the size for which the labels of the image were made."""
        self._images[-1].size = size

    def set_file_size(self, size: int) -> None:
        """Set how many bytes the label file says that the image's file has."""
        self._images[-1].file_size = size

    def reject_image(self, reason: str, value: Any) -> None:
        """Add a fault of the image that is not one of its labels; `value` is what the file has, decoded or as JSON."""
        self._image_faults.append((len(self._images) - 1, reason, _json_of(value)))

    def reject(self, label_id: str, reason: str, description: Description = UNKNOWN) -> None:
        """Add a label that can't be used."""
        self._reasons[len(self._ids)] = reason
        self._add(label_id, description, "")

    def add_box(self, label_id: str, description: Description, corners: Corners) -> None:
        """Add a label that is a box; one without area is rejected."""
        self._boxed.append(len(self._ids))
        self._corners.append(corners)
        # not _add: there are millions of boxes, and a call takes as long as the rest
        self._ids.append(label_id)
        self._descriptions.append(description)
        self._geometries.append("box")

    def add_paths(self, label_id: str, description: Description, paths: Sequence[Path], is_line: bool) -> None:
        """Add a label of areas or lines, whose letters fit; it is rejected if none of them has an area or a length.

        Vertices and controls are rounded to whole pixels before curves are flattened, as BDD's toolkit does.
        """
        self._drawn += [len(self._ids)] * len(paths)
        self._paths += paths
        self._vertices += sum(len(vertices) for vertices, _ in paths)
        self._add(label_id, description, LINE if is_line else "polygon")

    def add_rings(
        self,
        label_id: str,
        description: Description,
        rings: Sequence[Ring],
        geometry: str,
        mask_size: Size | None = None,
    ) -> None:
        """Add a label whose rings all enclose area; `mask_size` is that of a run-length mask."""
        if mask_size:
            self._mask_sizes[len(self._ids)] = mask_size
        self._traced += [len(self._ids)] * len(rings)
        self._rings += rings
        self._vertices += sum(map(len, rings))
        self._add(label_id, description, geometry)

    def _add(self, label_id: str, description: Description, geometry: str) -> None:
        self._ids.append(label_id)
        self._descriptions.append(description)
        self._geometries.append(geometry)

    def _finish_image(self) -> None:
        """Make the ids of the last image distinct, and reject the labels of an image without a name."""
        if not self._images:
            return
        image = self._images[-1]
        ids = self._ids[image.first :]
        if len(set(ids)) < len(ids):
            distinct = iter(distinct_ids([each for each in ids if each]))
            self._ids[image.first :] = [next(distinct) if each else each for each in ids]
        if image.name:
            return
        labels = range(image.first, len(self._ids))
        self._reasons |= {label: reasons.NO_IMAGE_NAME for label in labels if label not in self._reasons}
        if not labels and not (self._image_faults and self._image_faults[-1][0] == len(self._images) - 1):
            self.reject_image(reasons.NO_IMAGE_NAME, None)

    def flush(self) -> None:
        """Write the tables of all rows, if there are any."""
        if self._write and self._images:
            self._write(self.build())

    def build(self) -> Tables:
        """Return the tables of all rows, and start anew."""
        self._finish_image()
        tables = self._tables()
        self._clear()
        return tables

    def _tables(self) -> Tables:
        rings, owners = self._all_rings()
        ends = [*(image.first for image in self._images), len(self._ids)]
        images = np.repeat(np.arange(len(self._images)), np.diff(ends))
        are_kept = np.ones(len(self._ids), bool)
        are_kept[list(self._reasons)] = False
        kept, rejected = np.flatnonzero(are_kept), np.flatnonzero(~are_kept)
        order = np.argsort(owners, kind="stable")
        order = order[are_kept[owners[order]]]
        rings_each = np.bincount(owners[order], minlength=len(self._ids))[kept]
        labels = self._label_columns(kept, rings.chosen(order), rings_each) | {"image": pa.array(images[kept])}
        return Tables(
            self._image_table(),
            pa.table([labels[name] for name in RAW_LABELS.names], schema=RAW_LABELS),
            self._rejected_table(rejected, images[rejected]),
        )

    def _image_table(self) -> pa.Table:
        return pa.table(
            {
                "file": pa.array([image.file for image in self._images], pa.int64()),
                "name": texts([image.name for image in self._images]),
                "video": texts([image.video for image in self._images]),
                "width": pa.array([image.size[0] for image in self._images], pa.int32()),
                "height": pa.array([image.size[1] for image in self._images], pa.int32()),
                "size": pa.array([image.file_size for image in self._images], pa.int64()),
                "attributes": texts([image.attributes for image in self._images]),
            }
        )

    def _label_columns(
        self, labels: NDArray[np.int64], rings: RingTable, rings_each: NDArray[np.int64]
    ) -> dict[str, pa.Array]:
        """Return the columns of some labels ([N]), which have `rings_each` ([N]) of the rings."""
        rows = pa.array(labels)
        sizes = [self._mask_sizes.get(label, (None, None)) for label in labels.tolist()]
        return {
            "label_id": texts(self._ids).take(rows),
            "polygons": polygons(rings, rings_each),
            "box": boxes(bounding_boxes(rings, rings_each)),
            "geometry": pa.array(self._geometries, pa.string()).take(rows),
            "mask_width": pa.array([width for width, _ in sizes], pa.int32()),
            "mask_height": pa.array([height for _, height in sizes], pa.int32()),
            **self._description_columns(labels),
        }

    def _description_columns(self, labels: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return a column for each field of `Description`; what labels share is converted once."""
        numbers = {each: number for number, each in enumerate(dict.fromkeys(self._descriptions))}
        rows = pa.array(np.array([numbers[each] for each in self._descriptions], np.int64)[labels])
        return {
            name: pa.array([getattr(each, name) for each in numbers], RAW_LABELS.field(name).type).take(rows)
            for name in Description.__struct_fields__
        }

    def _rejected_table(self, labels: NDArray[np.int64], images: NDArray[np.int64]) -> pa.Table:
        """Return a row for each fault of an image and each of `labels` ([N], of `images`), in the order of images."""
        rows = [self._rejected_row(image, "", reason, text) for image, reason, text in self._image_faults]
        last, source_labels = -1, []
        for label, image in zip(labels.tolist(), images.tolist(), strict=True):
            if image != last:
                last, source_labels = image, self._images[image].source_labels()
            text = _json_of(source_labels[label - self._images[image].first])
            described = self._descriptions[label]
            rows.append(
                self._rejected_row(image, self._ids[label], self._reasons[label], text)
                | {"category": described.category, "kind": described.kind, "attributes": described.attributes}
            )
        rows.sort(key=lambda row: row["row"])
        names = ("image", "label_id", "reason", "label", "category", "kind", "attributes")
        columns = {name: texts([row.get(name) for row in rows]) for name in names}
        return pa.table({**columns, "row": pa.array([row["row"] for row in rows], pa.int64())})

    def _rejected_row(self, image: int, label_id: str, reason: str, text: str) -> dict[str, Any]:
        name = self._images[image].name
        return {"row": image, "image": name, "label_id": label_id, "reason": reason, "label": text}

    def _all_rings(self) -> tuple[RingTable, NDArray[np.int64]]:
        """Return the rings of all labels, and the label of each ([R]); labels without a ring are rejected."""
        lengths = np.array([len(ring) for ring in self._rings], np.int64)
        traced = RingTable(np.concatenate([np.empty((0, 2)), *self._rings]), lengths), np.array(self._traced, np.int64)
        parts = (self._rectangles(), self._outlines(), traced)
        points, lengths = (
            np.concatenate([getattr(table, name) for table, _ in parts]) for name in ("points", "lengths")
        )
        return RingTable(points, lengths), np.concatenate([owners for _, owners in parts])

    def _rectangles(self) -> tuple[RingTable, NDArray[np.int64]]:
        """Return the rings of boxes, and the label of each."""
        corners, labels = np.array(self._corners, np.float64).reshape(-1, 4), np.array(self._boxed, np.int64)
        near = (np.abs(corners) <= reasons.FARTHEST).all(axis=1)
        sound = near & (corners[:, :2] < corners[:, 2:]).all(axis=1)
        self._reasons |= dict.fromkeys(labels[~sound].tolist(), reasons.BOX_WITHOUT_AREA)
        self._reasons |= dict.fromkeys(labels[~near].tolist(), reasons.TOO_FAR)
        rings = corners[sound][:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 2)
        return RingTable(rings, np.full(int(sound.sum()), 4)), labels[sound]

    def _outlines(self) -> tuple[RingTable, NDArray[np.int64]]:
        """Return the rings of areas and the open paths of lines, curves flattened, and the label of each."""
        counts = np.array([len(vertices) for vertices, _ in self._paths], np.int64)
        numbers = chain.from_iterable(chain.from_iterable(vertices for vertices, _ in self._paths))
        paths = RingTable(np.fromiter(numbers, np.float64).reshape(-1, 2), counts)
        labels = np.array(self._drawn, np.int64)
        far = labels[paths.owners[~(np.abs(paths.points) <= reasons.FARTHEST).all(axis=1)]]
        used = np.flatnonzero((counts > 0) & ~np.isin(labels, far))
        paths, owners = paths.chosen(used), labels[used]
        are_lines = np.array([self._geometries[label] == LINE for label in owners.tolist()], bool)
        letters = [self._paths[path][1] for path in used.tolist()]
        points = polygon.rounded(paths.points)
        flat = curves.flatten(points, paths.lengths.tolist(), letters, (~are_lines).tolist(), self.curve_tolerance)
        rings = ring_table.cleaned(RingTable(*flat), are_lines)
        sound = np.where(are_lines, rings.lengths > 1, ring_table.enclose_area(rings))
        for label in np.setdiff1d(labels, owners[sound]).tolist():
            is_line = self._geometries[label] == LINE
            self._reasons[label] = reasons.LINE_WITHOUT_LENGTH if is_line else reasons.POLYGON_WITHOUT_AREA
        self._reasons |= dict.fromkeys(far.tolist(), reasons.TOO_FAR)
        return rings.chosen(np.flatnonzero(sound)), owners[sound]


def _json_of(value: Any) -> str:
    """Return a value, or JSON that is given as bytes or msgspec.Raw, as JSON without spaces.

    A number with more digits than parsers accept becomes text.
    """
    try:
        is_json = isinstance(value, bytes | msgspec.Raw)
        encoded = msgspec.json.format(bytes(value), indent=-1) if is_json else msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair
        encoded = json.dumps(value).encode()
    text = bytes(encoded).decode("utf-8", "replace")
    if len(text) <= LONGEST_NUMBER or not _LONG_NUMBER.search(text):
        return text
    return json.dumps(json.loads(text, parse_int=lambda digits: digits if len(digits) > 1000 else int(digits)))
