"""Outlines for readers that fill a polygon where a line out of it crosses its edges an odd number of times.

Here an instance is the union of its rings, each filled nonzero. Rings that overlap, or cross themselves, are filled
otherwise by such readers; the outline of the mask is not.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from mrcnn.shapes import polygons
from pipeline.geometry import masks
from pipeline.geometry.polygon import Ring

SHIFT = 8
"""Bits of a pixel's fraction that OpenCV fills polygons with."""
TRIED_VERTICES = 500
"""Of a ring, at least half as many, where the line to another ring may begin."""


def plain_rings(rings: Sequence[Ring], height: int, width: int) -> list[Ring]:
    """Return rings whose even-odd filling is the union of the given ones: these, or else the outlines of the mask.

    Rings lie inside an image of `height` by `width` pixels. Of outlines, those around holes run the other way round
    than those around areas, as of all rings that are returned.
    """
    top, left, bottom, right = polygons.pixel_box(rings, (0, 0, height, width))
    corner = np.array([left, top])
    moved = [ring - corner for ring in rings]
    if not _loses_pixels(moved, bottom - top, right - left):
        return [_turned(ring, 1) for ring in rings]
    mask = polygons.mask(moved, bottom - top, right - left)
    areas = masks.trace(mask)
    holes = masks.trace(polygons.mask(areas, *mask.shape) & ~mask)
    return [_turned(ring + corner, sign) for traced, sign in ((areas, 1), (holes, -1)) for ring in traced]


def _loses_pixels(rings: Sequence[Ring], height: int, width: int) -> bool:
    """Say whether even-odd filling leaves out a pixel that lies in the union of the rings with all around it."""
    import cv2

    inside = polygons.fill([rings], np.array([[0, 0, height, width]], np.int32), (height, width), pixel=(0, 0))[0]
    filled = np.zeros((height, width), np.uint8)
    points = [np.round((ring - 0.5) * (1 << SHIFT)).astype(np.int32) for ring in rings]
    cv2.fillPoly(filled, points, 1, shift=SHIFT)
    core = cv2.erode(inside.view(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return bool((core > filled).any())


def _turned(ring: Ring, sign: int) -> Ring:
    """Return a ring whose shoelace sum has the sign."""
    return ring if sign * signed_area(ring) >= 0 else ring[::-1]


def signed_area(ring: Ring) -> float:
    """Return the shoelace sum of a ring, in square pixels."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def joined(rings: Sequence[Ring]) -> Ring:
    """Return one ring that runs around all rings, from one to the next and back along a line without width.

    So ultralytics' converter joins the polygons of a COCO annotation. Each line leads between nearest vertices.
    """
    path = [(0, vertex) for vertex in range(len(rings[0]))]
    for at, (ring, start) in _links(rings):
        around = [(ring, (start + step) % len(rings[ring])) for step in range(len(rings[ring]) + 1)]
        place = path.index(at) + 1
        path[place:place] = [*around, at]
    return np.array([rings[ring][vertex] for ring, vertex in path])


Vertex = tuple[int, int]
"""A ring and the place of a vertex in it."""


def _links(rings: Sequence[Ring]) -> Iterator[tuple[Vertex, Vertex]]:
    """Yield from where to where the first ring is linked to the nearest, then either to the next, until all are."""
    nearest = {other: _nearest(rings, 0, other) for other in range(1, len(rings))}
    while nearest:
        added = min(nearest, key=lambda other: nearest[other][0])
        _, at, to = nearest.pop(added)
        yield at, to
        nearest = {other: min(best, _nearest(rings, added, other)) for other, best in nearest.items()}


def _nearest(rings: Sequence[Ring], one: int, other: int) -> tuple[float, Vertex, Vertex]:
    """Return the least squared distance of vertices of two rings, and these; of long rings some vertices are tried."""
    step, step_of_other = (1 + len(rings[each]) // TRIED_VERTICES for each in (one, other))
    squared = ((rings[one][::step, None] - rings[other][None, ::step_of_other]) ** 2).sum(axis=-1)
    start, end = np.unravel_index(int(squared.argmin()), squared.shape)
    return float(squared[start, end]), (one, int(start) * step), (other, int(end) * step_of_other)
