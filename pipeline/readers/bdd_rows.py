"""The wanted labels of a block of BDD frames, as they are gathered (`bdd_block`) and as columns of instances.

What is common is computed for all labels at once; each label with anything else about it is left to `bdd_label`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.geometry.ring_table import RingTable, ranges
from pipeline.instance_columns import INSTANCES, InstanceColumns, bounding_boxes, boxes, one_batch, polygons
from pipeline.readers import bdd_label, faults
from pipeline.readers.bdd_label import Box2d, Label
from pipeline.readers.bdd_paths import Drawn, draw
from pipeline.readers.faults import LabelError
from pipeline.readers.options import ReadOptions
from pipeline.tables import json_text, texts
from pipeline.vocabulary import Meaning

Numbers = NDArray[np.int64]


class PlainLabel(msgspec.Struct, gc=False):
    """A label whose attributes stay undecoded, since few different ones come again and again."""

    category: Any = None
    id: Any = None
    attributes: msgspec.Raw = msgspec.Raw(b"")
    box2d: Box2d | None = None
    poly2d: msgspec.Raw = msgspec.Raw(b"")
    rle: msgspec.Raw = msgspec.Raw(b"")
    score: Any = None

    def whole(self) -> Label:
        """Return the label as `bdd_label` takes it."""
        attributes = msgspec.json.decode(self.attributes) if self.attributes else None
        return Label(self.category, self.id, attributes, self.box2d, self.poly2d, self.rle, self.score)


class Attributes:
    """What the JSON text of a label's attributes amounts to; `number` tells it from other texts."""

    def __init__(self, number: int, text: bytes) -> None:
        self.number = number
        self._text = text
        given = self._given()
        kinds = {word: given.get(key) for word, key in bdd_label.WITH_KIND.items()} if isinstance(given, dict) else {}
        self.kinds = {word: kind for word, kind in kinds.items() if isinstance(kind, str)}
        """The areaType or laneType, by the category that has one."""

    @cached_property
    def parted(self) -> tuple[str, dict[str, bool]]:
        """JSON of the attributes without the flags, and the flags."""
        rest, flags = bdd_label.parted_attributes(Label(attributes=self._given()))
        return json_text(rest), flags

    def _given(self) -> Any:
        return msgspec.json.decode(self._text) if self._text else None


@dataclass(frozen=True)
class Word:
    """A category as labels give it, and what it means."""

    number: int
    word: str
    meaning: Meaning | None
    odd: bool = False
    """Nothing that could be a category: `bdd_label` says what is wrong."""
    line: bool = False


@dataclass(frozen=True)
class Columns:
    """Rows as instances: `kept` ([N] int64, rising) are those that the batch has, `faults` says why others are not."""

    batch: pa.RecordBatch
    kept: Numbers
    faults: dict[int, str]


@dataclass
class Rows:
    """A row each wanted label of a block; `boxed`, `drawn` and `odd` are rows by what they take."""

    labels: list[PlainLabel] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    attributes: list[int] = field(default_factory=list)
    boxed: list[int] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)

    def add(self, label: PlainLabel, label_id: str, word: Word, attributes: Attributes) -> None:
        """Append a label."""
        if not word.odd and label.score is None:
            if label.poly2d and label.poly2d not in bdd_label.NOTHING:
                if not word.line:
                    self.drawn.append(len(self.labels))
            elif label.box2d is not None and (not label.rle or label.rle in bdd_label.NOTHING):
                self.boxed.append(len(self.labels))
        self.labels.append(label)
        self.ids.append(label_id)
        self.words.append(word.number)
        self.attributes.append(attributes.number)

    def columns(
        self, source: str, options: ReadOptions, words: Sequence[Word], attributes: Sequence[Attributes]
    ) -> Columns:
        """Return the labels as instances of the file `source`; `words` and `attributes` stand in order of number."""
        boxed, corners = self._boxes(options)
        drawn = draw([self.labels[row].poly2d for row in self.drawn], options.curve_tolerance)
        rows = np.concatenate([boxed, np.array(self.drawn, np.int64)[drawn.sound]])
        order = np.argsort(rows)
        rows = rows[order]
        named = self._named(rows, source, words, attributes)
        batch = pa.record_batch([*named, *_geometry(corners, drawn, order)], names=[*_NAMED, *_GEOMETRY])
        batch = batch.select(INSTANCES.names)
        if len(rows) == len(self.labels):
            return Columns(batch, rows, {})
        return self._with_odd(Columns(batch, rows, {}), source, options, words)

    def _boxes(self, options: ReadOptions) -> tuple[Numbers, NDArray[np.float64]]:
        """Return the rows whose box `bdd_label` would take as it is, and their corners ([N, 4] x1, y1, x2, y2)."""
        if options.boxes == "leave_out" or not self.boxed:
            return np.empty(0, np.int64), np.empty((0, 4))
        given = [self.labels[row].box2d for row in self.boxed]
        corners = np.array([(box.x1, box.y1, box.x2, box.y2) for box in given if box is not None], np.float64)
        sound = (np.abs(corners) <= faults.FARTHEST).all(axis=1) & (corners[:, :2] < corners[:, 2:]).all(axis=1)
        return np.array(self.boxed, np.int64)[sound], corners[sound]

    def _named(
        self, rows: Numbers, source: str, words: Sequence[Word], attributes: Sequence[Attributes]
    ) -> list[pa.Array]:
        """Return the columns `_NAMED` of some rows."""
        ids = texts(self.ids).take(pa.array(rows))
        word = np.array(self.words, np.int64)[rows]
        meanings = [each.meaning or Meaning("") for each in words]
        used, which = np.unique(np.array(self.attributes, np.int64)[rows], return_inverse=True)
        parted = [attributes[number].parted for number in used]
        flags = {
            name: pa.array([its.get(name) for _, its in parted], pa.bool_()).take(pa.array(which)) for name in _FLAGS
        }
        ignored = np.array([each.ignored for each in meanings], bool)[word]
        return [
            ids,
            texts([each.category for each in meanings]).take(pa.array(word)),
            texts([each.word for each in words]).take(pa.array(word)),
            pc.fill_null(flags["crowd"], False),
            pc.or_(pc.fill_null(flags["ignored"], False), pa.array(ignored)),
            flags["occluded"],
            flags["truncated"],
            texts([text for text, _ in parted]).take(pa.array(which)),
            pc.binary_join_element_wise(texts([source])[0], ids, "#"),
        ]

    def _with_odd(self, columns: Columns, source: str, options: ReadOptions, words: Sequence[Word]) -> Columns:
        """Return the columns with the rows that they lack, each read by `bdd_label`, in their places."""
        odd, kept, faulty = InstanceColumns(), [], {}
        for row in np.setdiff1d(np.arange(len(self.labels)), columns.kept).tolist():
            label, label_id = self.labels[row].whole(), self.ids[row]
            try:
                meant = words[self.words[row]].meaning or bdd_label.meaning(label, options.wanted)
                assert meant is not None
                odd.add(bdd_label.instance(label, label_id, meant, options), label_id, f"{source}#{label_id}")
                kept.append(row)
            except LabelError as fault:
                faulty[row] = fault.reason
        rows = np.concatenate([columns.kept, np.array(kept, np.int64)])
        order = np.argsort(rows)
        parts = pa.Table.from_batches([columns.batch, odd.batch()]).combine_chunks()
        return Columns(one_batch(parts.take(pa.array(order))), rows[order], faulty)


_FLAGS = ("crowd", "ignored", "occluded", "truncated")
_NAMED = ("instance_id", "category", "source_category", *_FLAGS, "attributes", "source")
_GEOMETRY = ("polygons", "box", "geometry")


def _geometry(corners: NDArray[np.float64], drawn: Drawn, order: Numbers) -> list[pa.Array]:
    """Return the columns `_GEOMETRY` of boxes ([B, 4]) and drawn labels, which together come in `order`."""
    rectangles = corners[:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 2)
    lengths = np.concatenate([np.full(len(corners), 4), drawn.rings.lengths])
    rings = RingTable(np.concatenate([rectangles, drawn.rings.points]), lengths)
    each = np.concatenate([np.ones(len(corners), np.int64), drawn.each])
    around = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    around = np.concatenate([around, bounding_boxes(drawn.rings, drawn.each)])
    first = np.cumsum(each) - each
    return [
        polygons(rings.chosen(ranges(first[order], each[order])), each[order]),
        boxes(around[order]),
        texts(["box", "polygon"]).take(pa.array((order >= len(corners)).astype(np.int64))),
    ]
