"""`python -m benchmarks prediction`: the whole command beside a bare loop of `detect`, and its memory on many pictures.

The command reads, detects, draws and writes all that it saves by default; the loop has its pictures decoded already.
"""

import os
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks import machine
from benchmarks.measured import measured
from pipeline.recipe import Recipe
from pipeline.sources import resolve

SCENES = 200
ROUNDS = 3
WANTED_SHARE = 0.8
MOST_GROWTH = 1.03

LOOP = """
import sys, time
from pathlib import Path
from mrcnn.data.decoding import read_image
from pipeline.prediction.opening import load_model
model = load_model(sys.argv[1])
images = [read_image(path) for path in sorted(Path(sys.argv[2]).iterdir())]
model.detector.detect(images[:1], masks="rle")
started = time.perf_counter()
for image in images:
    model.detector.detect([image], masks="rle")
print("images/s", len(images) / (time.perf_counter() - started))
"""
COMMAND = """
import sys, time
from pathlib import Path
from pipeline.prediction.run import run
from pipeline.prediction.opening import load_model
from pipeline.prediction.pictures import Pictures, identified, sources_of
from pipeline.recipe import Recipe
model = load_model(sys.argv[1])
sources = identified(sources_of([sys.argv[2]]), Recipe())
model.detect([next(iter(model.predict(sys.argv[2]))).pixels])
with Pictures(sources, Recipe(), Path(sys.argv[3])) as pictures:
    outcome = run(model, pictures, Path(sys.argv[3]))
print("images/s", outcome.new / outcome.seconds)
"""


def run(model: Path, images: int) -> None:
    """Print images a second of both, and the command's memory on 200 and on `images` pictures."""
    with tempfile.TemporaryDirectory(prefix="bench-prediction-") as name:
        folder = Path(name)
        few, many = folder / "few", folder / "many"
        scenes = _scenes(folder, few)
        print(f"{date.today()}, {machine.described()}")
        loop = [_rate(folder, LOOP, model, few) for _ in range(ROUNDS)]
        command = [_rate(folder, COMMAND, model, few, folder / f"found{number}") for number in range(ROUNDS)]
        bare, ours = statistics.median(loop), statistics.median(command)
        met = "met" if ours >= WANTED_SHARE * bare else "NOT met"
        print(f"detect alone {bare:.2f} images/s, the command {ours:.2f}: {ours / bare:.2f}; wanted: 0.80: {met}")
        many.mkdir()
        for number in range(images):
            os.link(scenes[number % len(scenes)], many / f"{number:06d}.jpg")
        small, large = (_peak(folder, model, each) for each in (few, many))
        met = "met" if large <= MOST_GROWTH * small else "NOT met"
        print(
            f"memory: {small / 1e6:,.0f} MB for {SCENES}, {large / 1e6:,.0f} MB for {images:,} pictures: "
            f"{large / small:.3f}; wanted: 1.03: {met}"
        )


def _scenes(folder: Path, few: Path) -> list[Path]:
    """Unpack scenes of another seed than the sample's into `few`; return their files."""
    import zipfile

    recipe = Recipe.model_validate({"seed": 7, "source": {"sample": {"train": 1, "val": SCENES - 1}}})
    (container,) = resolve.obtain(recipe, "images", folder / "sample", folder / "downloads")
    few.mkdir()
    with zipfile.ZipFile(container.path) as archive:
        members = [each for each in archive.namelist() if each.endswith(".jpg")][:SCENES]
        for member in members:
            (few / Path(member).name).write_bytes(archive.read(member))
    return sorted(few.iterdir())


def _rate(folder: Path, script: str, *arguments: Path) -> float:
    log = folder / "log"
    measured([sys.executable, "-c", script, *map(str, arguments)], log)
    return float(log.read_text().rpartition("images/s ")[2])


def _peak(folder: Path, model: Path, pictures: Path) -> int:
    out = folder / f"found-{pictures.name}"
    command = [sys.executable, "-m", "pipeline.prediction", str(pictures), "--model", str(model), "--out", str(out)]
    return measured(command, folder / "log").peak_bytes
