"""Small label files of each format, and values that may stand in them."""

import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

REAL = Path(__file__).parents[3] / "shared" / "real"

SQUARE = [[0, 0], [8, 0], [8, 6], [0, 6]]


def polygon_label(vertices: Any = SQUARE, types: Any = None, category: Any = "car", **others: Any) -> dict[str, Any]:
    """A label with one polygon."""
    types = "L" * len(vertices) if types is None else types
    return {
        "id": "7",
        "category": category,
        "poly2d": [{"vertices": vertices, "types": types, "closed": True}],
        **others,
    }


def via(regions: Any, **entry: Any) -> dict[str, Any]:
    """VIA metadata of one image."""
    return {"a.jpg99": {"filename": "a.jpg", "size": 99, "regions": regions, "file_attributes": {}, **entry}}


def via_region(shape: Any = None, **attributes: Any) -> dict[str, Any]:
    """A region of VIA; a small polygon unless a shape is given."""
    square = {"name": "polygon", "all_points_x": [0, 8, 8, 0], "all_points_y": [0, 0, 6, 6]}
    return {"shape_attributes": square if shape is None else shape, "region_attributes": attributes}


FRAMES = [
    {
        "name": "a.jpg",
        "attributes": {"scene": "city"},
        "timestamp": 10000,
        "labels": [
            polygon_label([[0, 0], [40, 0], [40, 40], [0, 40]], "LLCC", attributes={"occluded": True}),
            {"id": 8, "category": "bike", "box2d": {"x1": 1, "y1": 2, "x2": 3.5, "y2": 4}},
            {"id": 9, "category": "car", "rle": {"counts": "04", "size": [2, 2]}},
            polygon_label([[0, 0], [40, 0]], category="lane"),
        ],
    },
    {"name": "b.jpg", "labels": None},
]
PER_IMAGE = {
    "name": "a",
    "frames": [
        {"timestamp": 1, "objects": [{"category": "car", "id": 1, "poly2d": [[0, 0, "L"], [9, 0, "L"], [9, 9, "L"]]}]}
    ],
}
VIA = via(
    [
        via_region(name="car", instance="1", attributes="{}"),
        via_region({"name": "circle", "cx": 9, "cy": 9, "r": 3}, name="x"),
    ]
)
PROJECT = {
    "_via_settings": {},
    "_via_img_metadata": VIA,
    "_via_attributes": {"region": {"name": {"options": {"1": "x"}}}},
}
VIA3 = {
    "project": {"pid": "x", "data_format_version": "3.1.1"},
    "attribute": {"1": {"aname": "kind", "options": {"0": "dent"}}},
    "file": {"1": {"fname": "a.jpg"}},
    "metadata": {"m": {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": "0"}}},
    "view": {"1": {"fid_list": ["1"]}},
}
COCO = {
    "info": {"year": 2026},
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 2, "category_id": 3, "segmentation": [[0, 0, 8, 0, 8, 6]], "bbox": [0, 0, 8, 6]},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": {"counts": [0, 4], "size": [2, 2]}, "iscrowd": 1},
        {"id": 3, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 4], "attributes": {"occluded": True}},
    ],
    "categories": [{"id": 3, "name": "car", "supercategory": "vehicle"}],
}
LABELME = {
    "imagePath": "a.jpg",
    "shapes": [{"label": "dent", "points": SQUARE, "group_id": 1, "shape_type": "polygon", "flags": {"crowd": True}}],
    "imageHeight": 48,
    "imageWidth": 64,
}
SOUND: list[Any] = [FRAMES, {"frames": FRAMES, "config": {}}, FRAMES[0], PER_IMAGE, VIA, PROJECT, VIA3, COCO, LABELME]

ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1e308,
        10**30,
        "",
        "x",
        "é\u0000\ud7ff",
        [],
        {},
        [[]],
        [None],
        {"": None},
        [[1, 2, 3]],
        "true",
        [0, "NA"],
    ]
)
NOT_NUMBERS = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"1" + b"0" * 5000,
    b'"\\ud800"',
    b'"\xff"',
    b"nan",
    b"{",
    b"]",
    b"\xef\xbb\xbf",
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, each in inner for path in [(*at, key), *places(each, (*at, key))]]


def changed(value: Any, path: tuple[Any, ...], change: str, odd: Any) -> Any:
    """A copy of `value` in which what lies at `path` is replaced, gone, or there twice."""
    value = copy.deepcopy(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    if change == "replaced":
        holder[path[-1]] = odd
    elif change == "gone":
        del holder[path[-1]]
    elif isinstance(holder, list):
        holder.insert(0, holder[path[-1]])
    return value
