"""Runs one stage as a program of its own: from a shell, a Colab cell, or Dagster (through Pipes).

What the stages do is not here: only arguments, messages, faults and exit codes.
"""

import argparse
import ctypes
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.errors import PipelineError
from pipeline.running import progress
from pipeline.stages import STAGES, Stage

FAILURE = ".failure"
"""File in `--out` that holds the one sentence of a failure, for whoever started the program."""

PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
"""Set in our environment when Dagster started us (Dagster Pipes' bootstrap parameter)."""

PARENT_VARIABLE = "BDD_PARENT_PROCESS"
"""The process that started us through Pipes, set by it."""

EXIT_FAULT = 2
EXIT_NO_SPACE = 28
EXIT_INTERRUPTED = 130

log = logging.getLogger("pipeline")


def main(stage: str, argv: Sequence[str] | None = None) -> int:
    """Run `stage` with command-line arguments; return 0, 2 for a fault (its sentence printed last), or 130."""
    if PIPES_VARIABLE in os.environ:
        die_with_parent()
    arguments = _parser(stage).parse_args(argv)
    out: Path = arguments.out
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ side speaks to its developers
    with _messages():
        try:
            _run(stage, arguments, out)
        except PipelineError as fault:
            _say(out, str(fault))
            return EXIT_FAULT
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            _say(out, no_space(error.filename or out))
            return EXIT_NO_SPACE
        except KeyboardInterrupt as stop:
            _say(out, f"{stage} was interrupted" + (f": {stop}" if str(stop) else ""))
            return EXIT_INTERRUPTED
    return 0


def _run(stage: str, arguments: argparse.Namespace, out: Path) -> None:
    changes = dict(key_and_value(change) for change in arguments.set)
    chosen = recipe.load(arguments.recipe, changes)
    out.mkdir(parents=True, exist_ok=True)
    (out / FAILURE).unlink(missing_ok=True)
    inputs = {name: _input(name, getattr(arguments, name)) for name in STAGES[stage].inputs}
    STAGES[stage].build(chosen, **inputs, **_identities(stage, arguments), out=out)


def _identities(stage: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what is known of the sources outside the store, as an argument of `stage`'s build."""
    if not STAGES[stage].outside or not arguments.identities:
        return {}
    return {"identities": json.loads(arguments.identities.read_text("utf-8"))}


def _input(name: str, path: Path) -> Path:
    """Return the input as the stage wants it: an artifact's folder, or the one file of it that counts."""
    made_by = STAGES[name]
    if made_by.handed_on and path.is_dir():
        path = path / made_by.handed_on
    if not path.exists():
        raise PipelineError(f"{path}: {made_by.argument} does not exist ({_what_is_given(made_by)})")
    return path.absolute()


def _what_is_given(made_by: Stage) -> str:
    folder = f"folder made by {made_by.name}"
    return f"{made_by.handed_on}, or the {folder}" if made_by.handed_on else folder


def _parser(stage: str) -> argparse.ArgumentParser:
    module = STAGES[stage].module
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=f"Make {stage} without Dagster: {', '.join(STAGES[stage].files)}."
    )
    parser.add_argument("--recipe", type=Path, help="recipe file (default: $BDD_RECIPE, else the sample's)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    for name in STAGES[stage].inputs:
        made_by = STAGES[name]
        parser.add_argument(made_by.argument, dest=name, type=Path, required=True, help=_what_is_given(made_by))
    if STAGES[stage].outside:
        parser.add_argument("--identities", type=Path, help="JSON file of what the sources are (default: ask them)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    return parser


def key_and_value(change: str) -> tuple[str, str]:
    """Split `KEY=VALUE`; raises PipelineError where there is no `=`."""
    key, equals, value = change.partition("=")
    if not equals:
        raise PipelineError(f"--set {change}: write it as KEY=VALUE, e.g. training.learning_rate=0.002")
    return key, value


@contextmanager
def _messages() -> Iterator[None]:
    """Send messages to Dagster when it started us, else to stderr."""
    if PIPES_VARIABLE not in os.environ:
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
        for ours in ("pipeline", "mrcnn"):
            logging.getLogger(ours).setLevel(logging.INFO)
        yield
        return
    from dagster_pipes import open_dagster_pipes

    progress.draw_bars = False
    with open_dagster_pipes() as pipes:
        handler = _PipesHandler(pipes.log)
        logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.INFO)
        yield


class _PipesHandler(logging.Handler):
    """Passes our messages on to the Dagster run that started this program."""

    def __init__(self, sink: logging.Logger) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("pipeline", "mrcnn")) or record.levelno >= logging.WARNING:
            self.sink.log(record.levelno, record.getMessage())


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, so that no build outlives its lock.

    Linux only (prctl(2), PR_SET_PDEATHSIG = 1); elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    if os.environ.get(PARENT_VARIABLE, str(os.getppid())) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGKILL)  # the parent died before the kernel was asked


def no_space(where: Path | str) -> str:
    """Return the sentence for a full disk (or a used-up quota)."""
    return f"no space is left on the disk of {where}: free some and run it again"


def _say(out: Path, sentence: str) -> None:
    """Print the sentence last, and leave it where whoever started us finds it: whole or, on a full disk, not at all."""
    sentence = " ".join(sentence.split())
    if out.is_dir():
        try:
            (out / FAILURE).write_text(sentence, "utf-8")
        except OSError as error:
            (out / FAILURE).unlink(missing_ok=True)
            log.warning("the sentence could not be left in %s: %s", out, error)
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
