"""Predict, correct in VIA 3 by mouse, train again: the whole loop by commands. A long proof in a browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.artifacts import LATEST, Manifest
from tests.browser import needs_chromium
from tests.pipeline.via.test_browser import saved, via3  # noqa: F401  (a fixture)

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 30
MOVES = ((12, -9), (7, 11))
"""Pixels by which a corner of each of two regions is dragged."""
INPUT = "(() => { const box = via.va.file_annotator[0][0].input.getBoundingClientRect(); return [box.x, box.y]; })()"
SCALE = "via.va.file_annotator[0][0].fscale"
"""Pixels of the picture a pixel of the page."""

pytestmark = [pytest.mark.soak, needs_chromium]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with the demo's data, and a recipe of it."""
    folder = tmp_path_factory.mktemp("loop")
    run(folder, "assets", "--recipe", "recipes/sample.yaml")
    return folder


def run(home: Path, module: str, *arguments: str | Path) -> str:
    """Run a module as a person does, with the data in `home`; return what it said."""
    environment = {**os.environ, "BDD_DATA_DIR": str(home / "data"), "DAGSTER_HOME": str(home)}
    (home / "dagster.yaml").touch()
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def new_pictures(home: Path) -> Path:
    """Draw scenes that the model has not seen; return their folder, which says that they are for training."""
    scenes = ["--set", "seed=77", "--set", "source.sample.train=1", "--set", f"source.sample.val={PICTURES - 1}"]
    run(home, "pipeline.prediction", "sample", *scenes, "--save", "via", "--out", home / "drawn")
    folder = home / "new/train"
    folder.mkdir(parents=True)
    for picture in sorted((home / "drawn/pictures").iterdir())[:PICTURES]:
        shutil.copy(picture, folder)
    return folder


def corners(page: Any, region: str) -> np.ndarray:
    """Return a polygon's corners, [K, 2] (x, y), as VIA holds them."""
    return np.array(page.evaluate("region => via.d.store.metadata[region].xy", region)[1:]).reshape(-1, 2)


def alone(page: Any, regions: list[str]) -> list[str]:
    """Return the regions whose middle lies in no box of another, so that a click there means one."""
    boxes = {
        region: (points.min(axis=0), points.max(axis=0)) for region in regions if len(points := corners(page, region))
    }
    middles = {region: (low + high) / 2 for region, (low, high) in boxes.items()}

    def in_another(region: str) -> bool:
        others = (box for other, box in boxes.items() if other != region)
        return any(((low <= middles[region]) & (middles[region] <= high)).all() for low, high in others)

    return [region for region in regions if not in_another(region)]


def drag_a_corner(page: Any, region: str, by: tuple[int, int]) -> np.ndarray:
    """Select a polygon by a click into it, and drag its first corner; return the corners then."""
    left, top = page.evaluate(INPUT)
    scale, before = page.evaluate(SCALE), corners(page, region)
    middle, first = (before.min(axis=0) + before.max(axis=0)) / 2 / scale, before[0] / scale
    page.mouse.click(left + middle[0], top + middle[1])
    page.wait_for_function("region => via.va.file_annotator[0][0].selected_mid_list.includes(region)", arg=region)
    page.mouse.move(left + first[0], top + first[1])
    page.mouse.down()
    for share in (0.5, 1):
        page.mouse.move(left + first[0] + share * by[0] / scale, top + first[1] + share * by[1] / scale)
    page.mouse.up()
    page.keyboard.press("Escape")
    after = corners(page, region)
    np.testing.assert_allclose(after[0] - before[0], by, atol=1)
    np.testing.assert_array_equal(after[1:], before[1:])
    return after


def test_predicted_corrected_and_trained_again(via3: Any, home: Path) -> None:  # noqa: F811
    pictures = new_pictures(home)
    assert f"{PICTURES} pictures" in run(home, "pipeline.prediction", pictures, "--out", home / "found")
    run(home, "pipeline.via", "open", home / "found", "--order", "uncertain", "--out", home / "relabel")
    text = (home / "relabel/via3_project.json").read_text()
    via3.evaluate("text => via.d.project_load(text)", text)
    store = via3.evaluate("via.d.store")
    of_view = {
        view: alone(via3, [key for key, each in store["metadata"].items() if each["vid"] == view and each["xy"]])
        for view in store["project"]["vid_list"]
    }
    view = next(view for view, regions in of_view.items() if len(regions) >= len(MOVES))
    via3.evaluate("view => via.va.view_show(view)", view)
    shown = "count => Object.keys(via.va.file_annotator[0][0].creg).length >= count"
    via3.wait_for_function(shown, arg=len(of_view[view]))
    regions = of_view[view][: len(MOVES)]
    corrected = [drag_a_corner(via3, region, by) for region, by in zip(regions, MOVES, strict=True)]
    saved(via3, home / "june.json")
    image = store["file"][store["view"][view]["fid_list"][0]]["fname"]

    recipe = yaml.safe_load((ROOT / "recipes/sample.yaml").read_text())
    recipe["source"] = {"images": ["sample", str(pictures)], "labels": ["sample", "june.json"]}
    recipe["training"]["stages"] = [{"layers": "all", "epochs": 1}]
    (home / "mine.yaml").write_text(yaml.safe_dump(recipe))
    run(home, "assets", "--recipe", home / "mine.yaml", "--select", "*evaluation_report")
    reasons = {name: Manifest.read(home / "data" / name / LATEST).reasons for name in ("raw_images", "raw_labels")}
    assert all(any(reason.startswith("source 1: ") for reason in of) for of in reasons.values()), reasons
    trained = Manifest.read(home / "data/trained_model" / LATEST)
    assert any(reason.startswith("input dataset_zip:") for reason in trained.reasons)
    table = pq.read_table(home / "data/filtered_labels" / LATEST / "labels.parquet")
    labels = [row for row in table.to_pylist() if row["image"] == image]
    rings = [np.array([[p["x"], p["y"]] for p in ring]) for row in labels for ring in row["polygons"]]
    for wanted in corrected:
        assert any(ring.shape == wanted.shape and np.allclose(ring, wanted, atol=0.01) for ring in rings)
    assert len(set(table["image"].to_pylist()) & {path.name for path in pictures.iterdir()}) >= PICTURES - 2
