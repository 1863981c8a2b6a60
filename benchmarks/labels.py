"""`make bench-labels`: raw_labels and filtered_labels on a file like the 2018 release's, beside json.load of it.

The first read makes the tables; other categories are then filtered from them without reading JSON.
"""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

from benchmarks import machine, release_2018
from benchmarks.measured import Measured, measured

CATEGORIES = ("car", "person", "traffic sign", "bike", "drivable area")
"""Boxes for the most part, and areas with curves."""
OTHERS = ("truck", "bus", "rider", "drivable area", "lane")

FIRST_READ, OTHER_CATEGORIES = "first read", "other categories"
WANTED_SHARE = {FIRST_READ: 1.0, OTHER_CATEGORIES: 0.25}
"""Of json.load's time."""
WANTED_BYTES = 1.5e9

JSON_LOAD = "import json, os, sys; json.load(open(sys.argv[1])); os._exit(0)"
"""Ends without the seconds that Python takes to free the memory."""


def run(frames: int, rounds: int) -> None:
    """Print what each stage took, and whether that is what is wanted; nothing is left on the disk."""
    with tempfile.TemporaryDirectory(prefix="bench-labels-") as name:
        folder = Path(name)
        ways = _prepared(folder, frames)
        taken: dict[str, list[Measured]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, work in ways.items():
                taken[way].append(work())
                print(f"{way:42} {taken[way][-1]}", flush=True)
        _judge(taken)
        print(f"{'via_train of these':42} {_via_train(folder)}", flush=True)


def _judge(taken: dict[str, list[Measured]]) -> None:
    plain, raw, filtered, others = ([each.seconds for each in measured_] for measured_ in taken.values())
    first = [one + other for one, other in zip(raw, filtered, strict=True)]
    peak = max(each.peak_bytes for way, measured_ in taken.items() if way != "json.load" for each in measured_)
    for what, seconds in ((FIRST_READ, first), (OTHER_CATEGORIES, others)):
        share = statistics.median(seconds) / statistics.median(plain)
        met = "met" if share <= WANTED_SHARE[what] and peak <= WANTED_BYTES else "NOT met"
        wanted = f"{WANTED_SHARE[what]:.2f} and {WANTED_BYTES / 1e6:,.0f} MB"
        print(f"{what}: {share:.2f} of json.load's time, {peak / 1e6:,.0f} MB; wanted: {wanted}: {met}")


def _prepared(folder: Path, frames: int) -> dict[str, Callable[[], Measured]]:
    """Write the file, the index and the recipes; return what is to be measured by name, in its order."""
    names = release_2018.image_names(frames)
    file = folder / "bdd100k_labels_images_train.json"
    labels = release_2018.write_labels(file, names)
    (folder / "raw_images").mkdir()
    release_2018.write_index(folder / "raw_images", names)
    for name, categories in (("recipe", CATEGORIES), ("others", OTHERS)):
        content = {
            "labels": {"categories": categories},
            "dataset": {"split": "path"},
            "source": {"labels": [str(file)]},
        }
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    print(f"{date.today()}, {machine.described()}")
    print(f"{frames:,} frames, {labels:,} labels, {file.stat().st_size / 1e9:.2f} GB", flush=True)
    raw_labels, raw_images = folder / "raw_labels", folder / "raw_images"
    inputs = ["--raw-labels", str(raw_labels), "--raw-images", str(raw_images)]
    return {
        "json.load": lambda: measured([sys.executable, "-c", JSON_LOAD, str(file)], folder / "log"),
        "raw_labels": lambda: _stage(folder, "pipeline.sources.raw_labels", "recipe", "raw_labels"),
        "filtered_labels": lambda: _stage(folder, "pipeline.labels", "recipe", "filtered_labels", *inputs),
        "filtered_labels of other categories": lambda: _stage(folder, "pipeline.labels", "others", "others", *inputs),
    }


def _stage(folder: Path, module: str, recipe: str, name: str, *inputs: str) -> Measured:
    """Run a stage; its result is kept until the next time."""
    out = folder / name
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", module, "--recipe", str(folder / f"{recipe}.yaml"), *inputs, "--out", str(out)]
    return measured(command, folder / "log")


def _via_train(folder: Path) -> str:
    """Write the labels of train for VIA; return what that took, and how much was written."""
    recipe, labels, out = folder / "recipe.yaml", folder / "filtered_labels", folder / "via_train"
    command = [sys.executable, "-m", "pipeline.via", "train", "--recipe", str(recipe)]
    taken = measured([*command, "--filtered-labels", str(labels), "--out", str(out)], folder / "log")
    written = sum(path.stat().st_size for path in out.glob("*.json"))
    return f"{taken}, {written / 1e6:,.0f} MB written"
