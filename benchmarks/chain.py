"""The stages that make the dataset, on the sample, each beside the plainest thing that could do the same.

Each pair is timed in turn, A B A B …, and reported as the ratio of medians; the sample's archives are the input.
"""

import json
import logging
import os
import shutil
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.sample_stages import inputs_of_dataset, up_to_via

REPETITIONS = 6


def run(scenes: int) -> None:
    """Print a line a stage."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BDD_DATA_DIR"] = str(folder / "data")
        stages = _stages(folder, scenes)
        print(f"{scenes} scenes, {REPETITIONS} repetitions, medians, {os.cpu_count()} cores")
        for what, ours, plain, named in stages:
            _compare(what, ours, plain, named)


def _stages(folder: Path, scenes: int) -> list[tuple[str, Callable[[], object], Callable[[], object], str]]:
    """Make the inputs once; return (what, ours, the plain way, its name) for each benchmark."""
    from pipeline import dataset, labels

    chosen, at = up_to_via(folder, scenes, 2)
    raw = {"raw_images": at["raw_images"], "raw_labels": at["raw_labels"]}
    archive = at["raw_images"] / "files" / "bdd100k_images_100k.zip"
    label_archive = at["raw_labels"] / "files" / "bdd100k_labels_release.zip"
    rest = inputs_of_dataset(at)
    return [
        (
            "filtered_labels",
            lambda: labels.build(chosen, **raw, out=_empty(folder / "again")),
            lambda: _load(label_archive),
            "json.load of the same files",
        ),
        (
            "dataset_zip",
            lambda: dataset.build(chosen, **rest, out=_empty(folder / "again")),
            lambda: shutil.copyfile(archive, folder / "copy.zip"),
            "a copy of the image archive",
        ),
    ]


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _load(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            json.loads(file.read(name))


def _compare(what: str, ours: Callable[[], object], plain: Callable[[], object], named: str) -> None:
    ours()
    plain()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPETITIONS):
        for kept, work in zip(times, (ours, plain), strict=True):
            started = time.perf_counter()
            work()
            kept.append(time.perf_counter() - started)
    a, b = (statistics.median(kept) for kept in times)
    print(f"{what}: {a * 1000:.0f} ms; {named}: {b * 1000:.0f} ms; ratio {a / b:.2f}")
