"""Hand-made `images.zip` files, a few pixels large, for the tests of everything that reads one."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """Return a JPEG of soft noise."""
    noise = np.random.default_rng(seed).integers(60, 200, (height, width, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "JPEG")
    return content.getvalue()


def polygon(points: list[tuple[float, float]], **attributes: str) -> dict[str, Any]:
    """Return a VIA polygon region through `points` (x, y)."""
    xs, ys = [list(axis) for axis in zip(*points, strict=True)]
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    return {"shape_attributes": shape, "region_attributes": attributes}


def square(x: float, y: float, side: float, name: str, **attributes: str) -> dict[str, Any]:
    """Return a square VIA polygon with its left upper corner at (x, y)."""
    return polygon([(x, y), (x + side, y), (x + side, y + side), (x, y + side)], name=name, **attributes)


def entry(filename: str, regions: Any, **more: Any) -> dict[str, Any]:
    """Return a VIA entry."""
    return {"filename": filename, "size": -1, "regions": regions, "file_attributes": {}, **more}


def numbered(regions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return regions as VIA 1 has them: a dict."""
    return {str(number): region for number, region in enumerate(regions)}


def write(path: Path, splits: dict[str, Any], images: dict[str, bytes], folder: str = "images") -> Path:
    """Write an archive with a label file a split (`splits`, JSON-able or bytes) and images by `<split>/<name>`."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, labels in splits.items():
            content = labels if isinstance(labels, bytes) else json.dumps(labels).encode()
            archive.writestr(f"{folder}/{split}/via_region_data.json", content)
        for name, content in images.items():
            archive.writestr(f"{folder}/{name}", content)
    return path


def one_image(folder: Path, regions: Any, name: str = "a.jpg", width: int = 32, height: int = 16) -> Path:
    """Write an archive whose val holds one image with these regions, its size given."""
    labels = {name: entry(name, regions, width=width, height=height)}
    return write(folder / "images.zip", {"val": labels}, {f"val/{name}": jpeg(width, height)})


def squares(path: Path, images: int = 3, width: int = 160, height: int = 90) -> Path:
    """Write train and val of `images` images each: a 40 px car at (10, 20) and a 24 px sign at (100, 30) in each."""
    splits: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for split in ("train", "val"):
        names = [f"{split}_{number}.jpg" for number in range(images)]
        regions = numbered([square(10, 20, 40, "car"), square(100, 30, 24, "traffic sign")])
        splits[split] = {f"{name}-1": entry(name, regions, width=width, height=height) for name in names}
        files |= {f"{split}/{name}": jpeg(width, height, seed) for seed, name in enumerate(names)}
    return write(path, splits, files)
