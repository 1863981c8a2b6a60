"""Rows of the raw tables: what readers of all formats fill, label by label, and what becomes Arrow columns at once.

Readers decide what a label says; here are the rules that hold for many labels together: curves are flattened, shapes
without area rejected, ids made distinct.
"""

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
from pipeline.instances.records import DistinctIds
from pipeline.instances.tables import RAW_LABELS, bounding_boxes, boxes, json_text, polygons, texts

ENOUGH_LABELS, ENOUGH_VERTICES = 16_384, 250_000
"""Rows that are made into tables at once: labels that were traced have thousands of vertices."""

LONGEST_NUMBER = 4300
"""Digits that Python's parser of JSON takes."""
_LONG_NUMBER = re.compile(r"\d{1000}")

LINE = "line"
"""Geometry of a label whose paths are open: a lane marking."""

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""
Vertices = Sequence[tuple[float, float]]
Path = tuple[Vertices, str | None]
"""A path of BDD's poly2d: vertices and a letter each."""


class Description(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a label says besides where it lies; labels that say the same may share one."""

    category: str | None
    kind: str | None = None
    attributes: str = "{}"
    """JSON of what is not said elsewhere."""
    crowd: bool = False
    ignored: bool = False
    occluded: bool | None = None
    truncated: bool | None = None
    part_of: str | None = None


NOTHING = Description(None)


class Tables(NamedTuple):
    """Rows as columns. `images` numbers its files, `image` and `row` of the others are rows of `images`."""

    images: pa.Table
    """Columns file, name, video, width, height, attributes."""
    labels: pa.Table
    """Columns as in `tables.RAW_LABELS`."""
    rejected: pa.Table
    """Columns as in `tables.RAW_REJECTED`, but without `source`."""


class _Image(msgspec.Struct):
    file: int
    name: str
    video: str | None
    attributes: str
    size: tuple[int, int] | None
    first: int
    """Its first label."""
    given: Callable[[], Sequence[Any]]
    """Gives its labels as the file has them: JSON (bytes), or values that are made JSON."""


class Rows:
    """Images and their labels, one after the other, on their way to tables."""

    def __init__(self, curve_tolerance: float, hand_on: Callable[[Tables], None] | None = None) -> None:
        """`curve_tolerance` is in pixels; `hand_on` gets tables whenever there are many rows."""
        self.curve_tolerance, self._hand_on = curve_tolerance, hand_on
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._images: list[_Image] = []
        self._image_faults: list[tuple[int, str, str]] = []
        """Image, reason, JSON."""
        self._ids: list[str] = []
        self._descriptions: list[Description] = []
        self._geometries: list[str] = []
        self._reasons: dict[int, str] = {}
        """By label that can't be used."""
        self._boxed: list[int] = []
        self._corners: list[Corners] = []
        self._drawn: list[int] = []
        """The label of each path."""
        self._paths: list[Path] = []
        self._traced: list[int] = []
        """The label of each ring."""
        self._rings: list[Ring] = []
        self._mask_sizes: dict[int, tuple[int, int]] = {}
        self._vertices = 0

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self._images)

    def begin_image(
        self,
        file: int,
        name: str,
        given: Callable[[], Sequence[Any]],
        video: str | None = None,
        attributes: str = "{}",
    ) -> None:
        """Begin an image of a label file; all labels follow that the file `given()` gives for it, in that order."""
        if self._hand_on and self._are_many():
            self._hand_on(self.tables())
        self._end_image()
        self._images.append(_Image(file, name, video, attributes, None, len(self._ids), given))

    def set_size(self, size: tuple[int, int]) -> None:
        """Say for which width and height in pixels the labels of the image were made."""
        self._images[-1].size = size

    def fault(self, reason: str, text: str) -> None:
        """Reject what the file says of the image, `text` (JSON), but for the labels that are given."""
        self._image_faults.append((len(self._images) - 1, reason, text))

    def reject(self, label_id: str, reason: str, description: Description = NOTHING) -> None:
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
        """Add a label of one or several areas or lines, whose letters fit; those of them without area or length go.

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
        mask_size: tuple[int, int] | None = None,
    ) -> None:
        """Add a label whose rings all enclose area; `mask_size` is width and height of a run-length mask."""
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

    def _are_many(self) -> bool:
        enough = len(self._ids) >= ENOUGH_LABELS or len(self._images) >= ENOUGH_LABELS
        return enough or self._vertices >= ENOUGH_VERTICES

    def _end_image(self) -> None:
        """Make the ids of the last image distinct, and see that what has no name is not lost."""
        if not self._images:
            return
        image, number = self._images[-1], len(self._images) - 1
        ids = self._ids[image.first :]
        if len(set(ids)) < len(ids):
            self._ids[image.first :] = distinct(ids)
        if image.name:
            return
        labels = range(image.first, len(self._ids))
        self._reasons |= {label: reasons.NO_IMAGE_NAME for label in labels if label not in self._reasons}
        if not labels and not (self._image_faults and self._image_faults[-1][0] == number):
            self.fault(reasons.NO_IMAGE_NAME, "null")

    def tables(self) -> Tables:
        """Return all rows as tables; there are none any more then."""
        self._end_image()
        tables = self._tables()
        self._begin_anew()
        return tables

    def _tables(self) -> Tables:
        rings, owners = self._all_rings()
        firsts = [image.first for image in self._images]
        images = np.searchsorted(firsts, np.arange(len(self._ids)), side="right") - 1
        are_kept = np.ones(len(self._ids), bool)
        are_kept[list(self._reasons)] = False
        kept, rejected = np.flatnonzero(are_kept), np.flatnonzero(~are_kept)
        order = np.argsort(owners, kind="stable")
        order = order[are_kept[owners[order]]]
        each = np.bincount(owners[order], minlength=len(self._ids))[kept]
        labels = self._labels(kept, rings.chosen(order), each) | {"image": pa.array(images[kept])}
        return Tables(
            self._image_table(),
            pa.table([labels[name] for name in RAW_LABELS.names], schema=RAW_LABELS),
            self._rejected(rejected, images[rejected]),
        )

    def _labels(self, kept: NDArray[np.int64], rings: RingTable, each: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return the columns of labels that are kept ([N]), which have `each` ([N]) of the rings."""
        rows = pa.array(kept)
        sizes = [self._mask_sizes.get(label, (None, None)) for label in kept.tolist()] if self._mask_sizes else None
        widths, heights = zip(*sizes, strict=True) if sizes else ([None] * len(kept),) * 2
        return {
            "label_id": texts(self._ids).take(rows),
            "polygons": polygons(rings, each),
            "box": boxes(bounding_boxes(rings, each)),
            "geometry": pa.array(self._geometries, pa.string()).take(rows),
            "mask_width": pa.array(widths, pa.int32()),
            "mask_height": pa.array(heights, pa.int32()),
            **self._described(kept),
        }

    def _described(self, labels: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return what some labels say, a column a field of `Description`."""
        numbers: dict[Description, int] = {}
        which = [numbers.setdefault(self._descriptions[label], len(numbers)) for label in labels.tolist()]
        rows = pa.array(which, pa.int64())
        return {
            name: pa.array([getattr(each, name) for each in numbers], RAW_LABELS.field(name).type).take(rows)
            for name in Description.__struct_fields__
        }

    def _image_table(self) -> pa.Table:
        sizes = [image.size or (None, None) for image in self._images]
        return pa.table(
            {
                "file": pa.array([image.file for image in self._images], pa.int64()),
                "name": texts([image.name for image in self._images]),
                "video": texts([image.video for image in self._images]),
                "width": pa.array([width for width, _ in sizes], pa.int32()),
                "height": pa.array([height for _, height in sizes], pa.int32()),
                "attributes": texts([image.attributes for image in self._images]),
            }
        )

    def _rejected(self, labels: NDArray[np.int64], images: NDArray[np.int64]) -> pa.Table:
        """Return a row for each fault of an image and each of `labels` ([N], of `images`): by image, its own first."""
        own = [(image, "", reason, text) for image, reason, text in self._image_faults]
        given: dict[int, Sequence[Any]] = {}
        for label, image in zip(labels.tolist(), images.tolist(), strict=True):
            if image not in given:
                given = {image: self._images[image].given()}
            text = json_of(given[image][label - self._images[image].first])
            own.append((image, self._ids[label], self._reasons[label], text))
        order = sorted(range(len(own)), key=lambda at: own[at][0])
        at = pa.array([row - len(self._image_faults) if row >= len(self._image_faults) else None for row in order])
        described = self._described(labels)
        columns = {
            "image": texts([self._images[own[row][0]].name for row in order]),
            "label_id": texts([own[row][1] for row in order]),
            "reason": texts([own[row][2] for row in order]),
            "label": texts([own[row][3] for row in order]),
            "row": pa.array([own[row][0] for row in order], pa.int64()),
            **{name: described[name].take(at.cast(pa.int64())) for name in ("category", "kind", "attributes")},
        }
        return pa.table(columns)

    def _all_rings(self) -> tuple[RingTable, NDArray[np.int64]]:
        """Return the rings of all labels and the label of each ([R]); what has no ring is rejected."""
        lengths = np.array([len(ring) for ring in self._rings], np.int64)
        traced = RingTable(np.concatenate([np.empty((0, 2)), *self._rings]), lengths), np.array(self._traced, np.int64)
        found = (self._rectangles(), self._outlines(), traced)
        points, lengths = (
            np.concatenate([getattr(table, name) for table, _ in found]) for name in ("points", "lengths")
        )
        return RingTable(points, lengths), np.concatenate([owners for _, owners in found])

    def _rectangles(self) -> tuple[RingTable, NDArray[np.int64]]:
        corners, labels = np.array(self._corners, np.float64).reshape(-1, 4), np.array(self._boxed, np.int64)
        near = (np.abs(corners) <= reasons.FARTHEST).all(axis=1)
        sound = near & (corners[:, :2] < corners[:, 2:]).all(axis=1)
        self._reasons |= dict.fromkeys(labels[~sound].tolist(), reasons.BOX_WITHOUT_AREA)
        self._reasons |= dict.fromkeys(labels[~near].tolist(), reasons.TOO_FAR)
        rings = corners[sound][:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 2)
        return RingTable(rings, np.full(int(sound.sum()), 4)), labels[sound]

    def _outlines(self) -> tuple[RingTable, NDArray[np.int64]]:
        """Return the rings of areas, and lines, with curves flattened."""
        counts = np.array([len(vertices) for vertices, _ in self._paths], np.int64)
        numbers = chain.from_iterable(chain.from_iterable(vertices for vertices, _ in self._paths))
        given = RingTable(np.fromiter(numbers, np.float64).reshape(-1, 2), counts)
        labels = np.array(self._drawn, np.int64)
        far = labels[given.owners[~(np.abs(given.points) <= reasons.FARTHEST).all(axis=1)]]
        there = np.flatnonzero((counts > 0) & ~np.isin(labels, far))
        given, owners = given.chosen(there), labels[there]
        are_lines = np.array([self._geometries[label] == LINE for label in owners.tolist()], bool)
        letters = [self._paths[path][1] for path in there.tolist()]
        points = polygon.rounded(given.points)
        flat = curves.flatten(points, given.lengths.tolist(), letters, (~are_lines).tolist(), self.curve_tolerance)
        rings = ring_table.cleaned(RingTable(*flat), are_lines)
        sound = np.where(are_lines, rings.lengths > 1, ring_table.enclose_area(rings))
        for label in np.setdiff1d(labels, owners[sound]).tolist():
            without = reasons.LINE_WITHOUT_LENGTH if self._geometries[label] == LINE else reasons.POLYGON_WITHOUT_AREA
            self._reasons[label] = without
        self._reasons |= dict.fromkeys(far.tolist(), reasons.TOO_FAR)
        return rings.chosen(np.flatnonzero(sound)), owners[sound]


def video_of(attributes: Any) -> str | None:
    """Return the video that an image is a frame of, as its attributes say."""
    named = attributes.get("video") if isinstance(attributes, dict) else None
    return named if isinstance(named, str) and named else None


def image_attributes(given: Any) -> str:
    """Return an image's attributes as JSON, without its video, those that a VIA file holds packed as JSON unpacked."""
    attributes = {key: value for key, value in given.items() if key != "video"} if isinstance(given, dict) else {}
    packed = attributes.get("attributes")
    if packed == "":  # as VIA has it of an image to which nobody gave any
        del attributes["attributes"]
    try:
        rest = msgspec.json.decode(packed) if isinstance(packed, str) and packed else None
    except (msgspec.DecodeError, RecursionError):
        rest = None
    if isinstance(rest, dict):
        del attributes["attributes"]
        attributes = rest | attributes
    return json_text(attributes)


def distinct(ids: Sequence[str]) -> list[str]:
    """Return ids of which each stands once: one that comes again has a number behind it that no other one has."""
    given = DistinctIds(set(ids))
    return [given.give(each) if each else each for each in ids]


def json_of(value: Any) -> str:
    """Return a label as it is kept when it is rejected: JSON that is given (bytes, Raw), or a value, without spaces.

    A number of more digits than parsers take is kept as text.
    """
    try:
        is_json = isinstance(value, bytes | msgspec.Raw)
        text = msgspec.json.format(bytes(value), indent=-1) if is_json else msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair
        text = json.dumps(value).encode()
    found = bytes(text).decode("utf-8", "replace")
    if len(found) <= LONGEST_NUMBER or not _LONG_NUMBER.search(found):
        return found
    return json.dumps(json.loads(found, parse_int=lambda digits: digits if len(digits) > 1000 else int(digits)))
