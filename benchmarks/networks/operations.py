"""Where a piece of work's time goes: oneDNN's operations in each of a row's variants, side by side.

A convolution's multiplications a second say how near to its instructions' speed it runs: with bfloat16 no network is
faster than float32 by more than the processor's bfloat16 instruction is.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.networks.__main__ import CLASSES, ROWS, WARM_UP, Row, Worker, made_data, processor, seeded_weights

REPETITIONS = 4
CONVOLUTIONS = ("convolution", "deconvolution")
SIZES = re.compile(r"(mb|ic|oc|oh|ow|kh|kw)(\d+)")


@dataclass
class Operations:
    """Milliseconds, and 10⁹ multiplications where known, of oneDNN's operations by kind."""

    milliseconds: Counter[str] = field(default_factory=Counter)
    billions: Counter[str] = field(default_factory=Counter)

    def add(self, line: str) -> None:
        """Count a line that oneDNN's verbose mode printed for an operation that it executed."""
        fields = line.strip().split(",")
        if "exec" not in fields:
            return
        at = fields.index("exec")
        primitive, direction, time = fields[at + 2], fields[at + 4], float(fields[-1])
        kind = f"{primitive} {direction}".replace("undef", "").strip()
        self.milliseconds[kind] += time
        if primitive in CONVOLUTIONS:
            self.billions[kind] += multiplications(fields[-2]) / 1e9


def multiplications(problem: str) -> int:
    """Multiplications of a convolution whose sizes oneDNN writes as mb1_ic64oc64_ih56oh56kh3…_iw56ow56kw3…."""
    sizes = {name: int(value) for name, value in SIZES.findall(problem)}
    product = 1
    for size in sizes.values():
        product *= size
    return product


def main() -> None:
    """Print the operations of the rows that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks.operations", description=__doc__)
    names = [row.name for row in ROWS if row.work != "input"]
    parser.add_argument("--rows", default="A step all", help=f"only rows whose name contains this; {names}")
    parser.add_argument("--baselines", type=Path, default=Path("../shared/baselines"), help="folder of make_data.py")
    arguments = parser.parse_args()
    print(processor())
    with tempfile.TemporaryDirectory() as name:
        data = made_data(arguments.baselines, Path(name))
        for row in ROWS:
            if row.name in names and arguments.rows in row.name:
                _run(row, data, Path(name))


def _run(row: Row, data: Path, folder: Path) -> None:
    weights = seeded_weights(row, folder)
    seconds: dict[str, float] = {}
    found: dict[str, Operations] = {}
    with ExitStack() as stack:
        for name, (more, _) in row.variants.items():
            common = [row.work, "--data", data, "--classes", ",".join(CLASSES), "--weights", weights]
            command = [sys.executable, "-m", "benchmarks.networks.ours", *common]
            settings = ["--settings", json.dumps(row.settings | more)]
            environment = {"TF_CPP_MIN_LOG_LEVEL": "2", "ONEDNN_VERBOSE": "1"}
            worker = stack.enter_context(Worker([*command, *settings], environment))
            for number in range(WARM_UP + REPETITIONS):
                if number == WARM_UP:
                    worker.overheard.clear()
                worker.repeat(number, counts=number >= WARM_UP)
            seconds[name], found[name] = statistics.mean(worker.said("seconds")), Operations()
            for line in worker.overheard:
                found[name].add(line)
    _print(row, seconds, found)


def _print(row: Row, seconds: dict[str, float], found: dict[str, Operations]) -> None:
    print(f"\n{row.name}: milliseconds of one (10⁹ multiplications a second), mean of {REPETITIONS}")
    print(" " * 40 + "".join(f"{name:>20}" for name in found))
    kinds = Counter[str]()
    for operations in found.values():
        kinds |= operations.milliseconds
    for kind, _ in kinds.most_common(12):
        cells = [_cell(operations, kind) for operations in found.values()]
        print(f"{kind:40}" + "".join(f"{cell:>20}" for cell in cells))
    rest = {name: 1000 * seconds[name] - sum(its.milliseconds.values()) / REPETITIONS for name, its in found.items()}
    print(f"{'all else, less what ran side by side':40}" + "".join(f"{value:20.0f}" for value in rest.values()))
    print(f"{'whole':40}" + "".join(f"{1000 * value:20.0f}" for value in seconds.values()), flush=True)


def _cell(operations: Operations, kind: str) -> str:
    time = operations.milliseconds[kind]
    speed = f" ({1000 * operations.billions[kind] / time:.0f})" if operations.billions[kind] and time else ""
    return f"{time / REPETITIONS:.0f}{speed}"


if __name__ == "__main__":
    main()
