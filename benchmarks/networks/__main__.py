"""Times our network beside the original's and torchvision's, each doing a step in turn, and prints ratios of medians.

The original needs a Python 3.7 (`ORIGINAL_PYTHON`), torchvision a Python that has it (`TORCHVISION_PYTHON`); without
one, its rows say so. docs/benchmarks.md says what to install in each.
"""

import argparse
import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

CLASSES = ("car", "person", "truck", "traffic_sign")
HERE = Path(__file__).parent
WARM_UP, REPETITIONS = 2, 6
STEP, MOST_WAIT = "A step all", 0.05
"""The row whose step in float32 the input of the same images is compared with, and the share of it wanted at most."""

A = {
    "NAME": "bdd", "BACKBONE": "resnet101", "IMAGES_PER_GPU": 1, "NUM_CLASSES": 5, "IMAGE_MIN_DIM": 800,
    "IMAGE_MAX_DIM": 1024, "DETECTION_MIN_CONFIDENCE": 0.0,
}  # fmt: skip
B = {
    "NAME": "bdd", "BACKBONE": "resnet50", "IMAGES_PER_GPU": 2, "NUM_CLASSES": 5, "IMAGE_MIN_DIM": 256,
    "IMAGE_MAX_DIM": 256, "RPN_ANCHOR_SCALES": [8, 16, 32, 64, 128], "TRAIN_ROIS_PER_IMAGE": 64,
    "DETECTION_MIN_CONFIDENCE": 0.0,
}  # fmt: skip
FULL = {"ROI_GROUND_TRUTH_COPIES": 12}
"""With these, each image gives all the positive regions that its configuration allows (66 of 200, 21 of 64), as a
trained network's proposals would; the original's work does not depend on how many there are."""
BF16, PAD64 = {"PRECISION": "bfloat16"}, {"IMAGE_RESIZE_MODE": "pad64"}
ONE_BY_ONE = {"IMAGES_PER_GPU": 1}
R50 = {**A, **PAD64, "BACKBONE": "resnet50"}


@dataclass(frozen=True)
class Row:
    """A piece of work: who it is compared with, and our variants of it by name, with the ratio that is wanted."""

    name: str
    work: str
    rival: str
    settings: dict[str, Any]
    variants: dict[str, tuple[dict[str, Any], float]]
    most_memory: float | None = None
    """Share of the rival's peak that is wanted at most."""


ROWS = (
    Row("A step heads", "heads", "original", A, {"float32": (FULL, 3.3), "bfloat16": (FULL | BF16, 5.0)}),
    Row("A step all", "all", "original", A, {"float32": (FULL, 2.7), "bfloat16": (FULL | BF16, 4.5)}, most_memory=0.7),
    Row("B step heads", "heads", "original", B, {"float32": (FULL, 6.5)}),
    Row("B step all", "all", "original", B, {"float32": (FULL, 6.5)}),
    Row(
        "A detect", "detect", "original", A,
        {"float32": ({}, 1.3), "pad64": (PAD64, 2.0), "pad64 bfloat16": (PAD64 | BF16, 3.0)},
    ),
    Row("B detect", "detect", "original", B | ONE_BY_ONE, {"float32": ({}, 1.7)}),
    Row("A input", "input", "original", A, {"2 threads": ({"LOADER_THREADS": 2}, 80 / 5.3)}),
    Row("torchvision all", "all", "torchvision", R50, {"float32": (FULL, 1.0), "bfloat16": (FULL | BF16, 1.8)}),
    Row("torchvision image", "detect", "torchvision", R50, {"float32": ({}, 1.4), "bfloat16": (BF16, 2.2)}),
)  # fmt: skip


class Worker:
    """A process that repeats one piece of work when asked."""

    def __init__(self, command: Sequence[str | Path], environment: dict[str, str]) -> None:
        self.answers: list[dict[str, Any]] = []
        self.overheard: list[str] = []
        """What the process printed besides its answers."""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the worker)
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **environment},
        )
        self._until("READY")

    def __enter__(self) -> Self:
        """Return the worker, ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def repeat(self, number: int, counts: bool) -> None:
        """Let the work be done once; keep the answer when it `counts`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        answer = json.loads(self._until("ANSWER ").removeprefix("ANSWER "))
        if counts:
            self.answers.append(answer)

    def median(self) -> float:
        """Seconds of the median repetition, an image where the work is several images."""
        return statistics.median(answer["seconds"] / answer.get("images", 1) for answer in self.answers)

    def said(self, fact: str) -> list[Any]:
        """What the answers say of a fact; empty where nothing."""
        return [answer[fact] for answer in self.answers if fact in answer]

    def _until(self, start: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(start):
                return line.strip()
            self.overheard.append(line)
        self._errors.seek(0)
        raise SystemExit(f"a worker ended early:\n{self._errors.read()[-2000:]}")


def main() -> None:
    """Run the rows that were asked for and print a table of each as it comes."""
    arguments = _parser().parse_args()
    rivals = {"original": os.environ.get("ORIGINAL_PYTHON"), "torchvision": os.environ.get("TORCHVISION_PYTHON")}
    print(f"{processor()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}; medians of {arguments.repetitions}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, step = made_data(arguments.baselines, folder), None
        for row in ROWS:
            if arguments.rows in row.name:
                medians = _run(row, rivals[row.rival], data, folder, arguments.repetitions, step)
                step = medians["float32"] if row.name == STEP else step


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__)
    parser.add_argument("--rows", default="", help=f"only rows whose name contains this; {[row.name for row in ROWS]}")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--baselines", type=Path, default=Path("../shared/baselines"), help="folder of make_data.py")
    return parser


def made_data(baselines: Path, folder: Path) -> Path:
    """Make the images that all are timed on, in a folder of `folder`."""
    script = baselines / "make_data.py"
    if not script.exists():
        raise SystemExit(f"{script} is not there: say with --baselines where the baselines' make_data.py is")
    runpy.run_path(str(script))["main"](str(folder / "data"))
    return folder / "data"


def seeded_weights(row: Row, folder: Path) -> Path:
    """Make the weights of a row's backbone, unless they are in `folder` already."""
    weights = folder / f"{row.settings['BACKBONE']}.h5"
    if not weights.exists():
        command = [sys.executable, "-m", "benchmarks.networks.seeded_weights", "--out", weights]
        subprocess.run([*command, "--settings", json.dumps(row.settings)], check=True, stderr=subprocess.DEVNULL)
    return weights


def _run(
    row: Row, rival: str | None, data: Path, folder: Path, repetitions: int, step: float | None
) -> dict[str, float]:
    """Time a row and print it; returns seconds by worker. `step`: those of STEP in float32, where it was timed."""
    weights = seeded_weights(row, folder)
    common = [row.work, "--data", data, "--classes", ",".join(CLASSES)]
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        if rival:
            script = [HERE / "rival.py", *common]
            if row.rival == "original":
                script = [HERE / "original.py", *common, "--weights", weights, "--settings", json.dumps(row.settings)]
            workers[row.rival] = stack.enter_context(Worker([rival, *script], {}))
        for name, (more, _) in row.variants.items():
            script = ["-m", "benchmarks.networks.ours", *common, "--weights", weights]
            command = [sys.executable, *script, "--settings", json.dumps(row.settings | more)]
            workers[name] = stack.enter_context(Worker(command, {"TF_CPP_MIN_LOG_LEVEL": "2"}))
        for number in range(WARM_UP + repetitions):
            for worker in workers.values():
                worker.repeat(number, counts=number >= WARM_UP)
        _print(row, workers, step)
        return {name: worker.median() for name, worker in workers.items()}


def _print(row: Row, workers: dict[str, Worker], step: float | None) -> None:
    print(f"\n{row.name}" + ("" if row.rival in workers else f" (no {row.rival.upper()}_PYTHON: no ratio)"))
    for name, worker in workers.items():
        seconds = sorted(worker.said("seconds"))
        images = (worker.said("images") or [1])[0]
        line = f"  {name:16} {worker.median():8.3f} s ({seconds[0] / images:.3f} to {seconds[-1] / images:.3f})"
        line += f"  {_peak(worker):5.2f} GiB"
        if row.work == "input":
            line += f"  {1 / worker.median():6.1f} images/s"
            line += _share_of_step(name, worker, row, step)
        for fact in ("detections", "positives"):
            if worker.said(fact):
                line += f"  {statistics.median(worker.said(fact)):.0f} {fact}"
        if name in row.variants and row.rival in workers:
            line += _judged(name, workers[row.rival].median() / worker.median(), row.variants[name][1])
            if row.most_memory is not None:
                line += _at_most("of its peak", _peak(worker) / _peak(workers[row.rival]), row.most_memory)
        print(line, flush=True)


def _peak(worker: Worker) -> float:
    """The most memory that the worker's process had, in GiB."""
    return worker.said("peak")[-1] / 1024


def _share_of_step(name: str, worker: Worker, row: Row, step: float | None) -> str:
    """Say what share of a `step` of STEP in seconds, where it was timed, one batch of our input takes."""
    if name not in row.variants or step is None:
        return ""
    return _at_most(f"of a step of {STEP}", worker.median() * row.settings["IMAGES_PER_GPU"] / step, MOST_WAIT)


def _at_most(what: str, share: float, wanted: float) -> str:
    return f"  {share:.3f} {what} (wanted at most {wanted:.2g}{'' if share <= wanted else ', NOT MET'})"


def _judged(variant: str, ratio: float, wanted: float) -> str:
    """Say how a ratio compares with what is wanted; of bfloat16 that is asked of processors that have it."""
    if "bfloat16" in variant and "bf16" not in processor():
        return f"  {ratio:5.2f}× (wanted {wanted:.2g}× where there is avx512_bf16)"
    return f"  {ratio:5.2f}× (wanted {wanted:.2g}×{'' if ratio >= wanted else ', NOT MET'})"


def processor() -> str:
    """Name the processor and its widest instructions."""
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.partition(":")[2].strip() for line in facts if line.startswith("model name")]
    flags = next((line for line in facts if line.startswith("flags")), "")
    widest = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags.split()]
    return f"{named[0] if named else 'unknown processor'} ({', '.join(widest)})"


if __name__ == "__main__":
    main()
