"""`python -m benchmarks [SUBJECT]`: our stages beside the plainest thing that could do the same; `--help` lists them.

Everything that is compared is measured in one run; each subject has a module of its own, networks a package.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

SUBJECTS: dict[str, tuple[str, dict[str, tuple[Any, str]]]] = {
    "chain": (
        "the dataset's stages on the sample (the default; a minute)",
        {"scenes": (60, "scenes of the sample to measure on")},
    ),
    "indexing": (
        "raw_images with and without decoding each picture (a minute)",
        {"images": (3_000, "images of the archive")},
    ),
    "labels": (
        "raw_labels and filtered_labels on a file like the 2018 release (minutes, 2 GB of disk)",
        {"frames": (70_000, "frames of the label file"), "rounds": (3, "how often each is measured, in turn")},
    ),
    "dataset": (
        "dataset_zip on images of the release's size (a minute, 4 GB of disk)",
        {"images": (20_000, "images of the archive")},
    ),
    "gpu": (
        "the network on this machine's GPU (10 minutes)",
        {"steps": (40, "steps to measure, of each variant"), "scenes": (48, "scenes of the sample to train on")},
    ),
    "prediction": (
        "the command beside detect alone, and its memory (an hour)",
        {"model": (Path("data/trained_model/latest"), "folder of a model"), "images": (20_000, "for the memory")},
    ),
    "masks": (
        "rules to fill polygons beside BDD100K's published masks (a minute)",
        {"real": (Path("../shared/real"), "folder of the published files")},
    ),
}
"""What each subject measures, and its options: default and meaning, in the order of the arguments of its `run`."""


def main() -> None:
    """Run the benchmark that is named; all imports are its own, so that none costs another memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios measured side by side.")
    parsers = parser.add_subparsers(dest="subject")
    for subject, (measured, options) in SUBJECTS.items():
        of_subject = parsers.add_parser(subject, help=measured)
        for name, (default, meaning) in options.items():
            of_subject.add_argument(f"--{name}", type=type(default), default=default, help=meaning)
    chosen = parser.parse_args()
    subject = chosen.subject or "chain"
    values = [getattr(chosen, name, default) for name, (default, _) in SUBJECTS[subject][1].items()]
    importlib.import_module(f"benchmarks.{subject}").run(*values)


if __name__ == "__main__":
    main()
