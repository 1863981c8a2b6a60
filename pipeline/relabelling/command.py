"""`python -m pipeline.via open`: a folder that VIA opens, from a shell."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from pipeline import relabelling
from pipeline.formats.via.writing import PROJECT
from pipeline.instances.tables import SPLITS
from pipeline.program import run_command
from pipeline.relabelling import BY_NAME, SUSPECTS_FILE, UNCERTAIN, VIA3_PROJECT, make_folder

FOLDER = "via_folder"


def main(argv: Sequence[str]) -> int:
    """Make the folder that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.via open", description=relabelling.__doc__)
    parser.add_argument("source", type=Path, help="images.zip, the folder of an artifact, or a VIA file")
    parser.add_argument("--split", choices=SPLITS, help="default: val")
    parser.add_argument(
        "--images", type=int, metavar="N", help="at most so many, picked evenly, or the first (default: all)"
    )
    parser.add_argument("--pictures", type=Path, metavar="ZIP", help="images.zip with the images that SOURCE labels")
    parser.add_argument("--out", type=Path, help="new folder (default: via_folder, or the next one that is free)")
    orders = f"{UNCERTAIN}: likeliest errors first, named in {SUSPECTS_FILE} (default: {BY_NAME})"
    parser.add_argument("--order", choices=(BY_NAME, UNCERTAIN), default=BY_NAME, help=orders)
    parser.add_argument(
        "--detections",
        type=Path,
        metavar="FOLDER",
        help="report or predictions that labels are compared with (default: the newest report about them)",
    )
    arguments = parser.parse_args(argv)
    out = arguments.out or next(path for path in _folders() if not path.exists())
    if arguments.images is not None and arguments.images < 1:
        parser.error("--images must be at least 1")

    def work() -> str:
        images = make_folder(
            arguments.source,
            out,
            arguments.split,
            arguments.images,
            arguments.pictures,
            arguments.order,
            arguments.detections,
        )
        return (
            f"{images} images: load {out.resolve() / PROJECT} in VIA 2 (Project > Load), or {VIA3_PROJECT} in "
            "VIA 3; the next steps are in docs/relabelling.md"
        )

    return run_command(work, out)


def _folders() -> Iterator[Path]:
    yield Path(FOLDER)
    yield from (Path(f"{FOLDER}_{number}") for number in count(2))
