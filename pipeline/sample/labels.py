"""Labels of a painted scene, in the words and layout of the consolidated 2018 release.

A thing's polygons outline what is seen of it; faults of real files are put in by `faults.py`.
"""

from typing import Any

import numpy as np

from pipeline.sample.arrays import Bytes, Floats
from pipeline.sample.camera.canvas import Canvas, Instance
from pipeline.sample.camera.view import HEIGHT, WIDTH, View
from pipeline.sample.scene import Area, Scene
from pipeline.sample.street.road import Road, edge_curves

TIMESTAMP = 10000
LEAST_SIDE = 11
LEAST_SHARE_SEEN = 0.25
OCCLUDED_BELOW = 0.87
LEAST_PIECE = 30
LEAST_AREA_ROWS = 24

Label = dict[str, Any]


def describe(name: str, scene: Scene, canvas: Canvas) -> dict[str, Any]:
    """Return the 2018 frame of a scene; its labels have no `id` yet."""
    labels = [label for instance in canvas.instances if (label := _thing_label(canvas, instance))]
    labels += [label for area in scene.areas if (label := _area_label(scene, area))]
    labels += _lane_labels(scene)
    conditions = scene.conditions
    return {
        "name": name,
        "attributes": {
            "weather": conditions.weather,
            "scene": conditions.place,
            "timeofday": conditions.timeofday,
        },
        "timestamp": TIMESTAMP,
        "labels": labels,
    }


def _thing_label(canvas: Canvas, instance: Instance) -> Label | None:
    """Return the label of what is seen of an instance; None where too little is."""
    seen = (canvas.owners == instance.number).view(np.uint8)
    pixels = int(np.count_nonzero(seen))
    if pixels < max(LEAST_PIECE, LEAST_SHARE_SEEN * instance.area):
        return None
    polygons = _outlines(seen, pixels)
    if not polygons:
        return None
    corners = np.concatenate(polygons)
    low, high = corners.min(0), corners.max(0)
    if (high - low).min() < LEAST_SIDE:
        return None
    truncated = bool(low.min() <= 0 or high[0] >= WIDTH - 1 or high[1] >= HEIGHT - 1)
    attributes = {"occluded": pixels < OCCLUDED_BELOW * instance.area, "truncated": truncated, **instance.attributes}
    box = {"x1": _round(low[0]), "y1": _round(low[1]), "x2": _round(high[0]), "y2": _round(high[1])}
    label = _label(instance.category, attributes)
    label["box2d"] = box
    label["poly2d"] = [_polygon(points.tolist(), "L" * len(points)) for points in polygons]
    return label


def _outlines(seen: Bytes, pixels: int) -> list[Floats]:
    """Return the simplified outlines [N, 2] of all pieces that are not mere crumbs, the largest first."""
    import cv2

    contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    tolerance = 0.6 if pixels < 2000 else 1.0
    pieces = sorted(((cv2.contourArea(contour), index) for index, contour in enumerate(contours)), reverse=True)
    kept = [index for area, index in pieces if area >= max(LEAST_PIECE, 0.02 * pixels)]
    outlines = [cv2.approxPolyDP(contours[index], tolerance, True)[:, 0].astype(np.float64) for index in kept]
    return [outline for outline in outlines if len(outline) > 2]


def _area_label(scene: Scene, area: Area) -> Label | None:
    """Return a drivable area bounded by Beziers, cut off at the edges of the picture; None where it is a mere line."""
    view, bottom = scene.view, min(scene.dashboard + 6.0, HEIGHT - 0.5)
    if view.row_of_depth(max(area.far, 1.0)) > bottom - LEAST_AREA_ROWS:
        return None
    up = edge_curves(scene.road, view, area.left, bottom, area.far)
    down = edge_curves(scene.road, view, area.right, bottom, area.far)
    if up is None or down is None:
        return None
    down = [curve[::-1] for curve in reversed(down)]
    vertices, types = [up[0][0]], "L"
    for curve in up:
        vertices, types = vertices + curve[1:], types + "CCC"
    vertices, types = [*vertices, down[0][0]], types + "L"
    for curve in down:
        vertices, types = vertices + curve[1:], types + "CCC"
    for corner in _corners_below(up[0][0], down[-1][-1], bottom):
        vertices, types = [*vertices, corner], types + "L"
    vertices, types = [*vertices, vertices[0]], types + "L"
    label = _label("drivable area", {"areaType": area.kind})
    label["poly2d"] = [_polygon(vertices, types)]
    return label


def _corners_below(left: tuple[float, float], right: tuple[float, float], bottom: float) -> list[tuple[float, float]]:
    """Return the corners at the bottom of an area whose edges leave the picture at its sides."""
    corners = []
    if right[1] < bottom - 1:
        corners.append((right[0], bottom))
    if left[1] < bottom - 1:
        corners.append((left[0], bottom))
    return corners


def _lane_labels(scene: Scene) -> list[Label]:
    """Return the painted lines and curbs as open curves."""
    road, view = scene.road, scene.view
    far = min(road.crossing.near - 5.0, 50.0) if road.crossing else 50.0
    lines = [(road.left_curb, "road curb", "solid"), (road.right_curb, "road curb", "solid")]
    if road.marked:
        if road.oncoming:
            lines.append((road.centre_line, "double yellow" if road.yellow else "double white", "solid"))
        inner = range(-road.own, road.lanes - road.own - 1)
        lines += [(road.lane_middle(lane) + road.lane_width / 2, "single white", "dashed") for lane in inner]
    labels = []
    for offset, kind, style in lines:
        label = _line_label(road, view, offset, far)
        if label is not None:
            label["attributes"] = {"laneDirection": "parallel", "laneStyle": style, "laneType": kind}
            labels.append(label)
    return labels


def _line_label(road: Road, view: View, offset: float, far: float) -> Label | None:
    curves = edge_curves(road, view, offset, HEIGHT - 0.5, far)
    if curves is None:
        return None
    vertices, types = [curves[0][0]], "L"
    for curve in curves:
        vertices, types = vertices + curve[1:], types + "CCC"
    label = _label("lane", {})
    label["poly2d"] = [_polygon(vertices, types, closed=False)]
    return label


def _label(category: str, attributes: dict[str, Any]) -> Label:
    return {"category": category, "attributes": attributes, "manualShape": True, "manualAttributes": True}


def _polygon(vertices: list[Any], types: str, closed: bool = True) -> dict[str, Any]:
    return {"vertices": [[_round(u), _round(v)] for u, v in vertices], "types": types, "closed": closed}


def _round(value: float) -> float:
    return round(float(value), 6)
