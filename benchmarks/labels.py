"""`make bench-labels`: filtered_labels on a file like the 2018 release's, from the file and from its zip.

Beside them json.load of the file, in a process of its own: the least that reads it at all. What was read goes to VIA.
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
"""Boxes for the most part, and areas with curves; lanes, lights and the rest go to rejected.parquet."""

WANTED_SHARE = 0.5
WANTED_BYTES = 1e9

JSON_LOAD = "import json, os, sys; json.load(open(sys.argv[1])); os._exit(0)"
"""Without the seconds that Python takes to give the memory back."""


def run(frames: int, rounds: int) -> None:
    """Print what each took, and whether that is what is wanted; nothing is left on the disk."""
    with tempfile.TemporaryDirectory(prefix="bench-labels-") as name:
        folder = Path(name)
        ways = _prepared(folder, frames)
        taken: dict[str, list[Measured]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, work in ways.items():
                taken[way].append(work())
                print(f"{way:42} {taken[way][-1]}", flush=True)
        plain = statistics.median(each.seconds for each in taken["json.load"])
        for way in list(ways)[1:]:
            share = statistics.median(each.seconds for each in taken[way]) / plain
            peak = max(each.peak_bytes for each in taken[way])
            met = "met" if share <= WANTED_SHARE and peak <= WANTED_BYTES else "NOT met"
            print(f"{way}: {share:.2f} of json.load's time, {peak / 1e6:,.0f} MB; wanted: 0.50 and 1,000 MB: {met}")
        print(f"{'via_train of these':42} {_via_train(folder)}", flush=True)


def _prepared(folder: Path, frames: int) -> dict[str, Callable[[], Measured]]:
    """Write the file, its zip and the index; return what is to be measured by name."""
    names = release_2018.image_names(frames)
    file = folder / "bdd100k_labels_images_train.json"
    labels = release_2018.write_labels(file, names)
    archive = release_2018.zipped(file)
    (folder / "raw_images").mkdir()
    release_2018.write_index(folder / "raw_images", names)
    recipe = folder / "recipe.yaml"
    recipe.write_text(json.dumps({"labels": {"categories": CATEGORIES}, "dataset": {"split": "path"}}))
    print(f"{date.today()}, {machine.described()}")
    print(f"{frames:,} frames, {labels:,} labels, {file.stat().st_size / 1e9:.2f} GB, zipped", end=" ")
    print(f"{archive.stat().st_size / 1e6:.0f} MB; wanted: {', '.join(CATEGORIES)}", flush=True)
    return {
        "json.load": lambda: measured([sys.executable, "-c", JSON_LOAD, str(file)], folder / "log"),
        "filtered_labels from the file": lambda: _stage(folder, file, None),
        "filtered_labels from the zip": lambda: _stage(folder, archive, release_2018.MEMBER),
    }


def _stage(folder: Path, path: Path, member: str | None) -> Measured:
    """Run filtered_labels; its result is kept until the next time."""
    recipe, out = folder / "recipe.yaml", folder / "filtered_labels"
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        raw_labels = Path(name)
        source = {"source": str(path), "files": [{"path": str(path), "member": member}]}
        (raw_labels / "sources.json").write_text(json.dumps({"sources": [source]}))
        command = [sys.executable, "-m", "pipeline.labels", "--recipe", str(recipe), "--raw-labels", str(raw_labels)]
        return measured([*command, "--raw-images", str(folder / "raw_images"), "--out", str(out)], folder / "log")


def _via_train(folder: Path) -> str:
    """Write the labels of train for VIA; return what that took, and how much was written."""
    recipe, labels, out = folder / "recipe.yaml", folder / "filtered_labels", folder / "via_train"
    command = [sys.executable, "-m", "pipeline.via", "train", "--recipe", str(recipe)]
    taken = measured([*command, "--filtered-labels", str(labels), "--out", str(out)], folder / "log")
    written = sum(path.stat().st_size for path in out.glob("*.json"))
    return f"{taken}, {written / 1e6:,.0f} MB written"
