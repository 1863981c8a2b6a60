"""Fits labels to their images: lines are widened, polygons clipped to the image, small labels left out."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.geometry.polygon import filled_area
from pipeline.geometry.ring_table import RingTable, areas, clip, extents, ranges, ribbons
from pipeline.instances.reasons import OTHER_SIZE, OUTSIDE, TOO_SMALL
from pipeline.instances.tables import bounding_boxes, boxes, boxes_in, polygons, rings_in

LINE = "line"
"""Geometry of lane markings in `raw_labels`, whose polygons are open lines."""
LINE_WIDTH = 4.0
"""Width in pixels of the polygon around a line."""
ROUNDING = 1e-6
"""Square pixels by which a filled area may be off."""

MASKS = ("rle", "bitmask")

Reasons = NDArray[np.object_]
"""[N] str: why each label is left out; empty if it isn't."""


def widened(labels: pa.RecordBatch) -> pa.RecordBatch:
    """Return the labels with polygons of `LINE_WIDTH` in the place of lines."""
    are_lines = pc.equal(labels["geometry"], LINE)
    rows = np.flatnonzero(are_lines)
    lines, each = rings_in(labels["polygons"].take(pa.array(rows)))
    geometry = pc.if_else(are_lines, "polygon", labels["geometry"])
    labels = labels.set_column(labels.schema.get_field_index("geometry"), "geometry", geometry)
    return _with_rings(labels, rows, ribbons(lines, LINE_WIDTH), each) if len(rows) else labels


def clipped(
    labels: pa.RecordBatch, sizes: NDArray[np.int64], reasons: Reasons, least_area: float
) -> tuple[pa.RecordBatch, Reasons]:
    """Return the labels clipped to their images, of `sizes` ([N, 2] width, height), and why they are left out.

    Labels that have a reason are not changed. Labels outside the image, masks made for another size, and labels of
    less than `least_area` square pixels get a reason.
    """
    reasons = reasons.copy()
    masks = np.stack([labels[side].fill_null(-1).to_numpy() for side in ("mask_width", "mask_height")], axis=1)
    reasons[(reasons == "") & (masks[:, 0] >= 0) & (masks != sizes).any(axis=1)] = OTHER_SIZE
    rings, each = rings_in(labels["polygons"])
    crossing = np.flatnonzero((reasons == "") & _cross_border(labels, rings, each, sizes))
    rings_of_crossing = ranges((np.cumsum(each) - each)[crossing], each[crossing])
    inner, kept = clip(rings.chosen(rings_of_crossing), np.repeat(sizes[crossing], each[crossing], axis=0))
    left = np.bincount(np.repeat(np.arange(len(crossing)), each[crossing])[kept], minlength=len(crossing))
    reasons[crossing[left == 0]] = OUTSIDE
    labels = _with_rings(labels, crossing[left > 0], inner, left[left > 0])
    if least_area:
        rows = np.flatnonzero(reasons == "")
        reasons[rows[_are_small(labels.take(pa.array(rows)), least_area)]] = TOO_SMALL
    return labels, reasons


def _cross_border(
    labels: pa.RecordBatch, rings: RingTable, each: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say which labels ([N] bool) don't lie in their image."""
    least, most = extents(rings.points, rings.starts[np.cumsum(each) - each])
    over: NDArray[np.bool_] = np.asarray(((least < 0) | (most > sizes)).any(axis=1))
    x, y, width, height = boxes_in(labels["box"]).T
    inside = (x >= 0) & (y >= 0) & (x + width <= sizes[:, 0]) & (y + height <= sizes[:, 1])
    return over & ~(inside & _are(labels, "box"))


def _are(labels: pa.RecordBatch, *geometries: str) -> NDArray[np.bool_]:
    """Say which labels ([N] bool) are of one of these geometries."""
    found = pc.is_in(labels["geometry"], pa.array(geometries))
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _with_rings(
    labels: pa.RecordBatch, rows: NDArray[np.int64], rings: RingTable, each: NDArray[np.int64]
) -> pa.RecordBatch:
    """Return the labels with `each` ([R]) of the rings, and the box around them, in some of the rows ([R])."""
    if not len(rows):
        return labels
    order = np.arange(labels.num_rows)
    order[rows] = labels.num_rows + np.arange(len(rows))
    new = {"polygons": polygons(rings, each), "box": boxes(bounding_boxes(rings, each))}
    columns = [
        pa.concat_arrays([labels[name], new[name]]).take(pa.array(order)) if name in new else labels[name]
        for name in labels.schema.names
    ]
    return pa.record_batch(columns, schema=labels.schema)


def _are_small(labels: pa.RecordBatch, least: float) -> NDArray[np.bool_]:
    """Say which labels ([N] bool) fill less than `least` square pixels.

    Only labels whose bounds don't decide it are filled. The shoelace formula counts a point as often as the ring winds
    around it: (K - 1) / 2 times at most for K vertices, once for outlines of masks. Boxes are upper bounds.
    """
    rings, each = rings_in(labels["polygons"])
    if not len(each):
        return np.zeros(0, bool)
    first = np.cumsum(each) - each
    windings = np.maximum((rings.lengths - 1) // 2, 1)
    windings[np.repeat(_are(labels, *MASKS), each)] = 1
    least_filled = np.maximum.reduceat(areas(rings) / windings, first)
    low, high = extents(rings.points, rings.starts)
    most_filled = np.add.reduceat((high - low).prod(axis=1), first)
    less: NDArray[np.bool_] = np.asarray(most_filled < least)
    for row in np.flatnonzero((least_filled < least) & ~less).tolist():
        less[row] = (
            filled_area(rings.chosen(np.arange(first[row], first[row] + each[row])).separate()) < least - ROUNDING
        )
    return less
