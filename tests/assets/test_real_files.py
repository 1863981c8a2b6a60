"""The whole chain on real files, through `dagster asset materialize`; counts against the source JSON, read plainly."""

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "real"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")


def seg_track_counts() -> Counter[str]:
    wanted = {"car", "pedestrian", "bus", "truck", "rider", "bicycle", "motorcycle"}
    content = json.loads((REAL / "bdd/seg_track_20/00091078-875c1f73.json").read_text())
    frames = content["frames"] if isinstance(content, dict) else content
    labels = [label for frame in frames for label in frame["labels"] or []]
    return Counter(label["category"] for label in labels if label["category"] in wanted)


def via_counts(file: str) -> Counter[str]:
    entries = json.loads((REAL / "via" / file).read_text()).values()
    regions = [
        region
        for entry in entries
        for region in (entry["regions"].values() if isinstance(entry["regions"], dict) else entry["regions"])
    ]
    return Counter(next(iter(region["region_attributes"].values())) for region in regions)


CASES = {
    "seg_track_20": (seg_track_counts, 2),
    "rice": (lambda: via_counts("tzelalouzeir_rice_via1/val/via_region_data.json"), 1),
    "car_damage": (lambda: via_counts("nicolasmetallo_car-damage/dataset/val/via_region_data.json"), 1),
}
"""Name of a recipe: the count of instances by class, and in how many splits each image stands."""


@pytest.mark.parametrize(
    "name", ["seg_track_20", *(pytest.param(name, marks=pytest.mark.soak) for name in ("rice", "car_damage"))]
)
def test_a_real_folder_goes_through_the_chain_with_every_region_counted(name, tmp_path):
    environment = {
        **os.environ,
        "BDD_RECIPE": f"tests/recipes/{name}.yaml",
        "BDD_DATA_DIR": str(tmp_path / "data"),
        "DAGSTER_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "assets", "--select", "*"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    count, splits = CASES[name]
    expected = Counter({category: number * splits for category, number in count().items()})
    assert sum(expected.values()) > 0
    assert instances_in(tmp_path / "data/dataset_zip/latest/images.zip") == expected
    metrics = json.loads((tmp_path / "data/evaluation_report/latest/metrics.json").read_text())
    assert metrics["images"] > 0


def instances_in(archive: Path) -> Counter[str]:
    """Count instances by class in both splits; regions of one instance count once."""
    found = set()
    with zipfile.ZipFile(archive) as file:
        for split in ("train", "val"):
            for entry in json.loads(file.read(f"images/{split}/via_region_data.json")).values():
                for region in entry["regions"].values():
                    attributes = region["region_attributes"]
                    found.add((split, entry["filename"], attributes["instance"], attributes["name"]))
    return Counter(category for *_, category in found)
