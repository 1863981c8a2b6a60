"""`python -m pipeline.export`: a trained model as a file for other runtimes."""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ExportError
from pipeline.export import FORMATS, NOT_TFLITE, checking, writing
from pipeline.program import run_command

PICTURES = 20
EXAMPLES = """examples:
  python -m pipeline.export data/trained_model/latest --to onnx
  python -m pipeline.export my_model/ --to savedmodel --out serving/1 --check my_pictures/"""


def main(argv: Sequence[str] | None = None) -> int:
    """Export what the arguments name; return 0, 2 for a fault, 28 for a full disk, or 130 when interrupted."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.max_detections < 1 or not 0 <= (arguments.min_score or 0) <= 1:
        parser.error("--max-detections is at least 1, and --min-score between 0 and 1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a SavedModel is opened without its gradients on purpose
    return run_command(lambda: _run(arguments), _out(arguments))


def _out(arguments: argparse.Namespace) -> Path:
    return arguments.out or Path("model.onnx" if arguments.to == "onnx" else "saved_model")


def _run(arguments: argparse.Namespace) -> str:
    """Export and compare; return the last lines."""
    if arguments.to == "tflite":
        raise ExportError(NOT_TFLITE)
    out = _out(arguments)
    writing.check(arguments.to, out)
    from pipeline.prediction.opening import find_model, load_model

    where = find_model(arguments.model)
    source = arguments.check or checking.dataset_of(where)
    pictures = checking.pictures_of(source, PICTURES) if source else []
    opened = load_model(where, min_score=arguments.min_score, max_detections=arguments.max_detections)
    model = writing.in_float32(opened)
    least = ", ".join(f"{name} from {score:.2f}" for name, score in model.thresholds.items())
    print(f"{where}: {least}")
    started = time.monotonic()
    writing.write(model, arguments.to, out)
    size = sum(file.stat().st_size for file in ([out] if out.is_file() else out.rglob("*")) if file.is_file())
    print(f"{out}: {size / 1e6:.1f} MB, written in {time.monotonic() - started:.0f} s")
    if not pictures:
        return f"{out}: not checked, since the dataset of {where} is not there: name pictures with --check"
    found = checking.compared(model, checking.opened(out, arguments.to), pictures)
    return f"{found.table()}{_judged(found, out)}"


def _judged(found: checking.Difference, out: Path) -> str:
    """Return what is to be said of a difference; raises ExportError, with the table, for one that is too large."""
    said = f"{out}: {found.beyond} of {found.detections} detections differ from the model's by more than the bounds"
    if not found.is_acceptable:
        raise ExportError(f"{found.table()}\n{said}: don't use it")
    return f"\n{said}, as rounding decides between two pixels or two equally good proposals" if found.beyond else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.export",
        description="Write a trained model as a file that takes a picture of any size and returns boxes, classes, "
        "scores and masks, and compare it with the model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder with model.json and weights, weights file, or fingerprint")
    add("--to", choices=FORMATS, required=True, help="the format")
    add("--out", type=Path, metavar="PATH", help="file, or folder for savedmodel (default: model.onnx, saved_model)")
    add("--check", type=Path, metavar="PICTURES", help="images.zip or folder (default: val of the model's dataset)")
    add("--min-score", type=float, metavar="S", help="least score (default: each class's threshold in the report)")
    add("--max-detections", type=int, default=100, metavar="N", help="most detections a picture (default: 100)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
