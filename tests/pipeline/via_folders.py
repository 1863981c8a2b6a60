"""Folders for VIA as tests look at them, and archives that they are made from."""

import json
from pathlib import Path
from typing import Any

from tests.pipeline.small_datasets import entry, jpeg, write
from tests.pipeline.via_rules import assert_via_1_imports, assert_via_opens

ODD_NAMES = ["shot #1.jpg", "100%.jpg", "what?.jpg", "a%41.jpg", "50%25.jpg", "früh.jpg", "a b&c.jpg"]


def opened(folder: Path) -> dict[str, Any]:
    """Return the VIA 2 project of a folder; hold each of its files against what the releases of VIA need."""
    project = json.loads((folder / "via_project.json").read_bytes())
    assert_via_opens(project, folder)
    assert_via_1_imports(json.loads((folder / "via_region_data.json").read_bytes()), folder)
    return project


def options(folder: Path, attribute: str = "name") -> list[str]:
    """Return what may be chosen for an attribute of regions, the same in VIA 2 and 3."""
    of_via3 = json.loads((folder / "via3_project.json").read_bytes())["attribute"].values()
    (found,) = (each["options"] for each in of_via3 if each["aname"] == attribute)
    assert opened(folder)["_via_attributes"]["region"][attribute]["options"] == found
    return list(found)


def regions(folder: Path, name: str = "a.jpg") -> list[dict[str, Any]]:
    """Return the regions of an image in a folder's VIA 2 project."""
    (image,) = (each for each in opened(folder)["_via_img_metadata"].values() if each["filename"] == name)
    return list(image["regions"])


def archive_of(path: Path, **labels: Any) -> Path:
    """Write an images.zip whose splits have these label files, and the images a.jpg and b.jpg in each."""
    images = {f"{split}/{name}.jpg": jpeg(20, 10, seed) for split in labels for seed, name in enumerate("ab")}
    return write(path / "images.zip", labels, images)


def labelled(*its_regions: Any, name: str = "a.jpg") -> dict[str, Any]:
    return {name: entry(name, list(its_regions))}
