"""Small label files for the tests of the readers."""

from pathlib import Path
from typing import Any

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
