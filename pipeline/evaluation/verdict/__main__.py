"""`python -m pipeline.evaluation.verdict BEFORE AFTER`: how a report differs from the one before it, in a sentence."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.evaluation.verdict import compare


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verdict, and a line for each class; return 1 where the reports can't be compared."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluation.verdict", description="Say how a model differs from the one before it."
    )
    parser.add_argument(
        "before", type=Path, help="folder of an evaluation_report, e.g. data/evaluation_report/0123abcd"
    )
    parser.add_argument("after", type=Path, help="folder of the report of the new model")
    arguments = parser.parse_args(argv)
    try:
        verdict = compare(arguments.before, arguments.after)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    print(verdict.sentence)
    for name, found in {"AP50": verdict.mask.AP50, **verdict.mask.per_class}.items():
        print(f"  {found.text(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
