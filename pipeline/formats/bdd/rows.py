"""The wanted labels of a block of BDD frames as columns of instances.

What is common is computed for all labels at once; a label with anything else about it is left to `bdd_label`. Which
labels there are is found out in `bdd_block`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.formats.bdd import label as bdd_label
from pipeline.formats.bdd.label import ABSENT, KnownLabel
from pipeline.formats.bdd.label_kinds import Kind
from pipeline.formats.bdd.paths import Drawn, draw
from pipeline.formats.options import ReadOptions
from pipeline.geometry.ring_table import RingTable, ranges
from pipeline.instances import reasons
from pipeline.instances.columns import INSTANCES, InstanceColumns, bounding_boxes, boxes, one_batch, polygons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import texts

Numbers = NDArray[np.int64]

LONGEST_NOTHING = max(map(len, bdd_label.NOTHING))


class PlainLabel(KnownLabel, gc=False):
    """A label whose attributes stay undecoded, since few different ones come again and again."""

    attributes: msgspec.Raw = ABSENT

    def whole(self) -> KnownLabel:
        """Return the label as `bdd_label` takes it."""
        attributes = msgspec.json.decode(self.attributes) if self.attributes else None
        return KnownLabel(**msgspec.structs.asdict(self) | {"attributes": attributes})


@dataclass(frozen=True)
class Columns:
    """Rows as instances: `kept` ([N] int64, rising) are those that the batch has, `faults` says why others are not."""

    batch: pa.RecordBatch
    kept: Numbers
    faults: dict[int, str]


@dataclass(frozen=True)
class Rows:
    """A row each wanted label of a block: the label, its id, and the number of its kind among `kinds`."""

    labels: Sequence[PlainLabel]
    ids: Sequence[str]
    numbers: Numbers
    kinds: Sequence[Kind]

    def columns(self, source: str, options: ReadOptions) -> Columns:
        """Return the labels as instances of the file `source`."""
        boxed, to_draw = self._routes()
        boxed, corners = self._boxes(boxed, options)
        drawn = draw([self.labels[row].poly2d for row in to_draw.tolist()], options.curve_tolerance)
        rows = np.concatenate([boxed, to_draw[drawn.sound]])
        order = np.argsort(rows)
        rows = rows[order]
        columns = self._named(rows, source) | _geometry(corners, drawn, order)
        batch = pa.record_batch([columns[name] for name in INSTANCES.names], schema=INSTANCES)
        if len(rows) == len(self.labels):
            return Columns(batch, rows, {})
        return self._with_odd(Columns(batch, rows, {}), source, options)

    def _routes(self) -> tuple[Numbers, Numbers]:
        """Return the rows of which the box counts, and those of which areas are drawn; all others are odd."""
        plain = np.array([not each.odd for each in self.kinds], bool)[self.numbers]
        plain &= np.array([label.score is None for label in self.labels], bool)
        line = np.array([each.line for each in self.kinds], bool)[self.numbers]
        path = _said([label.poly2d for label in self.labels])
        mask = _said([label.rle for label in self.labels])
        box = np.array([label.box2d is not None for label in self.labels], bool)
        return np.flatnonzero(plain & box & ~path & ~mask), np.flatnonzero(plain & path & ~line)

    def _boxes(self, rows: Numbers, options: ReadOptions) -> tuple[Numbers, NDArray[np.float64]]:
        """Return the rows whose box `bdd_label` would take as it is, and their corners ([N, 4] x1, y1, x2, y2)."""
        if options.boxes == "leave_out":
            return np.empty(0, np.int64), np.empty((0, 4))
        given = (self.labels[row].box2d for row in rows.tolist())
        sides = chain.from_iterable(map(msgspec.structs.astuple, given))
        corners = np.fromiter(sides, np.float64, 4 * len(rows)).reshape(-1, 4)
        sound = (np.abs(corners) <= reasons.FARTHEST).all(axis=1) & (corners[:, :2] < corners[:, 2:]).all(axis=1)
        return rows[sound], corners[sound]

    def _named(self, rows: Numbers, source: str) -> dict[str, pa.Array]:
        """Return all columns of some rows but their geometry."""
        used, which = np.unique(self.numbers[rows], return_inverse=True)
        kinds = [self.kinds[number] for number in used]
        of_kinds = {
            "category": texts([each.category for each in kinds]),
            "source_category": texts([each.word for each in kinds]),
            "crowd": pa.array([each.flags.get("crowd", False) for each in kinds], pa.bool_()),
            "ignored": pa.array([each.ignored for each in kinds], pa.bool_()),
            "occluded": pa.array([each.flags.get("occluded") for each in kinds], pa.bool_()),
            "truncated": pa.array([each.flags.get("truncated") for each in kinds], pa.bool_()),
            "attributes": texts([each.attributes for each in kinds]),
        }
        ids = texts(list(self.ids)).take(pa.array(rows))
        own = {"instance_id": ids, "source": pc.binary_join_element_wise(texts([source])[0], ids, "#")}
        return own | {name: column.take(pa.array(which)) for name, column in of_kinds.items()}

    def _with_odd(self, columns: Columns, source: str, options: ReadOptions) -> Columns:
        """Return the columns with the rows that they lack, each read by `bdd_label`, in their places."""
        odd, kept, faulty = InstanceColumns(), [], {}
        for row in np.setdiff1d(np.arange(len(self.labels)), columns.kept).tolist():
            label, label_id = self.labels[row].whole(), self.ids[row]
            try:
                meant = bdd_label.meaning(label, options.wanted)
                assert meant is not None
                odd.add(bdd_label.instance(label, label_id, meant, options), label_id, f"{source}#{label_id}")
                kept.append(row)
            except LabelError as fault:
                faulty[row] = fault.reason
        rows = np.concatenate([columns.kept, np.array(kept, np.int64)])
        order = np.argsort(rows)
        parts = pa.Table.from_batches([columns.batch, odd.batch()]).combine_chunks()
        return Columns(one_batch(parts.take(pa.array(order))), rows[order], faulty)


def _said(texts: Sequence[msgspec.Raw]) -> NDArray[np.bool_]:
    """Return which values are there and are more than null or empty ([N] bool)."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    said = lengths > 0
    for at in np.flatnonzero(said & (lengths <= LONGEST_NOTHING)).tolist():
        said[at] = texts[at] not in bdd_label.NOTHING
    return said


def _geometry(corners: NDArray[np.float64], drawn: Drawn, order: Numbers) -> dict[str, pa.Array]:
    """Return the geometry of boxes ([B, 4]) and drawn labels, which together come in `order`."""
    rectangles = corners[:, [0, 1, 0, 3, 2, 3, 2, 1]].reshape(-1, 2)
    lengths = np.concatenate([np.full(len(corners), 4), drawn.rings.lengths])
    rings = RingTable(np.concatenate([rectangles, drawn.rings.points]), lengths)
    each = np.concatenate([np.ones(len(corners), np.int64), drawn.each])
    around = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    around = np.concatenate([around, bounding_boxes(drawn.rings, drawn.each)])
    first = np.cumsum(each) - each
    return {
        "polygons": polygons(rings.chosen(ranges(first[order], each[order])), each[order]),
        "box": boxes(around[order]),
        "geometry": texts(["box", "polygon"]).take(pa.array((order >= len(corners)).astype(np.int64))),
    }
