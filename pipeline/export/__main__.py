"""`python -m pipeline.export`: a trained model as a file for other runtimes."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ExportError, PipelineError
from pipeline.export import FORMATS, NOT_TFLITE, checking, writing
from pipeline.program import EXIT_FAULT, EXIT_INTERRUPTED, EXIT_NO_SPACE, is_full, no_space

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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ messages are for its developers
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a SavedModel is opened without its gradients on purpose
    for name in ("pipeline", "mrcnn"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        _run(arguments)
        return 0
    except PipelineError as fault:
        code, sentence = EXIT_FAULT, str(fault)
    except OSError as error:
        if not is_full(error):
            raise
        code, sentence = EXIT_NO_SPACE, no_space(error.filename or arguments.out)
    except KeyboardInterrupt:
        code, sentence = EXIT_INTERRUPTED, "interrupted"
    print(sentence, file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> None:
    if arguments.to == "tflite":
        raise ExportError(NOT_TFLITE)
    out = arguments.out or Path("model.onnx" if arguments.to == "onnx" else "saved_model")
    writing.check(arguments.to, out)
    from pipeline.prediction.model import find_model, load_model

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
        print(f"{out}: not checked, since the dataset of {where} is not there: name pictures with --check")
        return
    found = checking.compared(model, checking.opened(out, arguments.to), pictures)
    print(found.table())
    _judge(found, out)


def _judge(found: checking.Difference, out: Path) -> None:
    said = f"{out}: {found.beyond} of {found.detections} detections differ from the model's by more than the bounds"
    if not found.is_acceptable:
        raise ExportError(f"{said}: don't use it")
    if found.beyond:
        print(f"{said}, as rounding decides between two pixels or two equally good proposals")


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
