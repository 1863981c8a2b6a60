"""Small folders of images and label files, and the stages from them to filtered labels and VIA files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import labels, recipe, via
from pipeline.sources import raw_images, raw_labels
from tests.pipeline.small_datasets import jpeg

WIDTH, HEIGHT = 64, 48

Row = dict[str, Any]


def box(category: str, left: float, top: float, right: float, bottom: float, **more: Any) -> Row:
    """Return a 2018 label with a box."""
    return {"category": category, "box2d": {"x1": left, "y1": top, "x2": right, "y2": bottom}, **more}


def area(category: str, *polygons: list[tuple[float, float]], **more: Any) -> Row:
    """Return a 2018 label with polygons of straight lines."""
    poly2d = [{"vertices": points, "types": "L" * len(points), "closed": True} for points in polygons]
    return {"category": category, "poly2d": poly2d, **more}


def frame(name: str, *its_labels: Row, **more: Any) -> Row:
    """Return a 2018 frame; labels without an id are numbered."""
    numbered = [{"id": number, **label} for number, label in enumerate(its_labels)]
    return {"name": name, "attributes": {}, "timestamp": 10000, "labels": numbered, **more}


SQUARE = [(10.0, 10.0), (10.0, 20.0), (20.0, 20.0), (20.0, 10.0)]


def folder_with(root: Path, images: list[str] | dict[str, int], label_files: Mapping[str, Any]) -> Path:
    """Write images (by path, with a seed) and label files (by path; JSON-able, or bytes) under `root`."""
    seeds = images if isinstance(images, dict) else {path: number for number, path in enumerate(images)}
    for path, seed in seeds.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpeg(WIDTH, HEIGHT, seed))
    for path, content in label_files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return root


def recipe_of(images: list[Path], label_sources: list[Path], **sections: Any) -> recipe.Recipe:
    """Return a recipe that reads these sources."""
    source = {"images": [str(path) for path in images], "labels": [str(path) for path in label_sources]}
    return recipe.parse({"source": source, **sections})


def filtered(made: recipe.Recipe, work: Path) -> Path:
    """Run the stages up to filtered_labels in `work`; return its folder."""
    folders = {name: work / name for name in ("raw_images", "raw_labels", "filtered_labels")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    raw_images.build(made, folders["raw_images"], work / "downloads")
    raw_labels.build(made, folders["raw_labels"], work / "downloads")
    labels.build(made, folders["raw_labels"], folders["raw_images"], folders["filtered_labels"])
    return folders["filtered_labels"]


def via_of(made: recipe.Recipe, filtered_labels: Path, split: str) -> Path:
    """Run the VIA stage of a split; return its folder."""
    out = filtered_labels.parent / f"via_{split}"
    out.mkdir()
    via.build(made, filtered_labels, split, out)
    return out


def table(folder: Path, name: str) -> list[Row]:
    """Return the rows of one of the tables."""
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def reasons(folder: Path) -> list[tuple[str, str]]:
    """Return (image, reason) of each row of rejected.parquet, sorted."""
    return sorted((row["image"], row["reason"]) for row in table(folder, "rejected"))


CAR = area("car", SQUARE)


def stage(tmp_path: Path, images: Any, label_files: dict[str, Any], *sources: str, **sections: Any) -> Path:
    """Run everything up to filtered labels on the folder `data`; `sources` are label files in it (default: all)."""
    data = folder_with(tmp_path / "data", images, label_files)
    return filtered(recipe_of([data], [data / source for source in sources] or [data], **sections), tmp_path / "work")
