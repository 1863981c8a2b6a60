"""Small label files for the tests of the readers, written to a folder and read back."""

import json
from pathlib import Path
from typing import Any

from pipeline import formats
from pipeline.instances.records import Instance, LabelledImage, Rejected
from pipeline.recipe.categories import Wanted

REAL = Path(__file__).parents[3] / "shared" / "real"

SQUARE = [[0, 0], [8, 0], [8, 6], [0, 6]]


def options(*categories: str, **others: Any) -> formats.ReadOptions:
    """Read options that want `categories`; COCO files are read, too."""
    return formats.ReadOptions(Wanted(categories), **{"coco": True, **others})


def read(folder: Path, content: Any, chosen: formats.ReadOptions | None = None) -> list[LabelledImage]:
    """Write `content` (bytes, or what JSON can say) as a label file, and read it."""
    file = folder / "labels.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return list(formats.read(file, None, chosen or options()))


def read_label(folder: Path, label: Any, chosen: formats.ReadOptions | None = None) -> Instance | Rejected | None:
    """Read a file of one frame with one label: the instance, or why not; None where it isn't wanted."""
    (image,) = read(folder, [{"name": "a.jpg", "labels": [label]}], chosen)
    found = [*image.instances, *image.rejected]
    assert len(found) + len(image.unwanted) == 1
    return found[0] if found else None


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


def only(folder: Path, content: Any, chosen: formats.ReadOptions | None = None) -> Any:
    """The one instance or rejected region of a file of one region."""
    (image,) = read(folder, content, chosen)
    (found,) = [*image.instances, *image.rejected]
    return found
