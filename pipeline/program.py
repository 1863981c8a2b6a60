"""Runs one stage as a program, from a shell, a Colab cell or Dagster: arguments, messages, exit codes."""

import argparse
import ctypes
import errno
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.artifacts import hold, summary
from pipeline.errors import PipelineError
from pipeline.running import progress
from pipeline.secrets import redacted
from pipeline.stages import STAGES, Stage

FAILURE = ".failure"
"""File in `--out` that holds the one sentence of a failure, for the process that started the program."""

LIVE = ".live.json"
"""File in `--out` that holds the figures of work that goes on (numbers by name), for the process that started it."""

PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
"""Set in the environment when Dagster starts a program (Dagster Pipes' bootstrap parameter)."""

PARENT_VARIABLE = "BDD_PARENT_PROCESS"
"""Set to the id of the process that starts a program through Pipes."""

EXIT_FAULT = 2
EXIT_NO_SPACE = 28
EXIT_INTERRUPTED = 130

REFUSALS = {
    *(
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    )
}
"""Errors of the system for a path that can't be what a person asked for."""

OWN_LOGGERS = ("pipeline", "mrcnn")

log = logging.getLogger("pipeline")


def main(stage: str, argv: Sequence[str] | None = None) -> int:
    """Run `stage` with command-line arguments; return 0, 2 for a fault, 28 for a full disk, or 130 when interrupted.

    The sentence of a fault is printed last.
    """
    if PIPES_VARIABLE in os.environ:
        die_with_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    arguments = _parser(stage).parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ messages are for its developers
    try:
        with _messages():
            code, sentence = ended(partial(_run, STAGES[stage], arguments), arguments.out)
            if code:
                _report(arguments.out, sentence)
            return code
    except OSError as error:  # the messages for Dagster go through a temporary file
        if not is_full(error):
            raise
        _report(arguments.out, no_space(error.filename or _temporary()))
        return EXIT_NO_SPACE


def ended(work: Callable[[], object], where: Path | str) -> tuple[int, str]:
    """Run `work`, which writes to `where`; return the exit code, and the sentence that a fault or a person ended it by.

    Errors that no person can mend are raised.
    """
    try:
        work()
        return 0, ""
    except PipelineError as fault:
        return EXIT_FAULT, str(fault)
    except OSError as error:
        if not (sentence := refusal(error, where)):
            raise
        return EXIT_NO_SPACE if is_full(error) else EXIT_FAULT, sentence
    except KeyboardInterrupt as stop:
        return EXIT_INTERRUPTED, f"interrupted: {stop}" if str(stop) else "interrupted"


def run_command(work: Callable[[], str], where: Path | str) -> int:
    """Run a command of a person: print what `work` returns, or the sentence of its end; return the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _messages():
        code, sentence = ended(lambda: print(work()), where)
    if code:
        print(sentence, file=sys.stderr)
    return code


def _run(stage: Stage, arguments: argparse.Namespace) -> None:
    chosen = recipe.load(arguments.recipe, dict(map(key_and_value, arguments.set)))
    if (arguments.out / summary.FILE).exists() and not arguments.force:
        raise PipelineError(
            f"{arguments.out} holds a finished {stage.name}: name a new folder with --out, or add --force"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / FAILURE).unlink(missing_ok=True)
    given: dict[str, Any] = given_to(stage, {name: getattr(arguments, name) for name in stage.inputs})
    if stage.outside and arguments.identities:
        given["identities"] = json.loads(arguments.identities.read_text("utf-8"))
    stage.build(chosen, **given, out=arguments.out)
    if PIPES_VARIABLE not in os.environ:
        print(_written(stage, arguments.out))


def _written(stage: Stage, out: Path) -> str:
    """Return what a program that a person started says last: what its summary says, and the files that it wrote."""
    found = summary.read(out)
    files = ", ".join(sorted(path.name for path in out.iterdir() if not path.name.startswith(".")))
    failed = [f"check {check.name} did not pass: {check.description}" for check in found.failed]
    return "\n".join([*found.lines, *failed, f"{stage.name}: {out}: {files}"])


def given_to(stage: Stage, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the inputs of a stage's build, of the folders of its artifacts; raises PipelineError for an absent one."""
    return {name: _input(name, folders[name]) for name in stage.inputs}


def _input(name: str, path: Path) -> Path:
    """Return the input as the stage takes it: an artifact's folder, or the one file of it that is handed on."""
    stage = STAGES[name]
    if stage.handed_on and path.is_dir():
        path = path / stage.handed_on
    if not path.exists():
        raise PipelineError(f"{path}: {stage.argument} does not exist ({_input_help(stage)})")
    if not stage.handed_on and not path.is_dir():
        raise PipelineError(
            f"{path}: is a file; {stage.argument} takes the {_input_help(stage)}, with {stage.files[0]}"
        )
    return hold(path.absolute())


def _input_help(stage: Stage) -> str:
    folder = f"folder made by {stage.name}"
    return f"{stage.handed_on}, or the {folder}" if stage.handed_on else folder


def _parser(name: str) -> argparse.ArgumentParser:
    stage = STAGES[name]
    parser = argparse.ArgumentParser(
        prog=f"python -m {stage.module}", description=f"Make {name} without Dagster: {', '.join(stage.files)}."
    )
    add_recipe_options(parser)
    for made_by in map(STAGES.__getitem__, stage.inputs):
        parser.add_argument(made_by.argument, dest=made_by.name, type=Path, required=True, help=_input_help(made_by))
    if stage.outside:
        parser.add_argument("--identities", type=Path, help="JSON file of what the sources are (default: ask them)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--force", action="store_true", help="write over a finished result in that folder")
    return parser


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add `--recipe` and `--set` to the options of a program."""
    parser.add_argument("--recipe", type=Path, help="recipe file (default: $BDD_RECIPE, else the sample's)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")


def key_and_value(change: str) -> tuple[str, str]:
    """Split `KEY=VALUE`; raises PipelineError where there is no `=`."""
    key, equals, value = change.partition("=")
    if not equals:
        raise PipelineError(f"--set {change}: write it as KEY=VALUE, e.g. training.learning_rate=0.002")
    return key, value


@contextmanager
def _messages() -> Iterator[None]:
    """Send messages to Dagster when it started this program, else to stderr."""
    if PIPES_VARIABLE not in os.environ:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_Message())
        for name in OWN_LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO)
        yield
        return
    from dagster_pipes import open_dagster_pipes

    progress.draw_bars = False
    with open_dagster_pipes() as pipes:
        logging.getLogger().addHandler(Forwarder(pipes.log))
        logging.getLogger().setLevel(logging.INFO)
        yield


class _Message(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the message alone, without the passwords of addresses in it."""
        return redacted(super().format(record))


class Forwarder(logging.Handler):
    """Passes the messages of our loggers, and the warnings of others, on to a logger of Dagster's."""

    def __init__(self, sink: logging.Logger) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message on."""
        if record.name.startswith(OWN_LOGGERS) or record.levelno >= logging.WARNING:
            self.sink.log(record.levelno, redacted(record.getMessage()))


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, so that no build outlives its lock.

    Linux only (prctl(2), PR_SET_PDEATHSIG = 1); elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    if os.environ.get(PARENT_VARIABLE, str(os.getppid())) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGKILL)  # the parent died before the kernel was asked


def refusal(error: OSError, where: Path | str) -> str:
    """Return the sentence for a full disk, or a path that the system refuses to be written; else nothing."""
    if is_full(error):
        return no_space(error.filename or f"{where}, or of {_temporary()}")
    why = "is a file, where a folder is needed" if error.errno == errno.EEXIST else error.strerror
    return f"{error.filename or where}: {why}" if error.errno in REFUSALS else ""


def _temporary() -> str:
    """Return the folder of temporary files that a person named, which Python passes over where it is full."""
    return os.environ.get("TMPDIR") or tempfile.gettempdir()


def is_full(error: OSError) -> bool:
    """Return whether an error is that of a full disk or a used-up quota."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def no_space(where: Path | str) -> str:
    """Return the sentence for a full disk (or a used-up quota)."""
    return f"no space is left on the disk of {where}: free some and run it again"


def _report(out: Path, sentence: str) -> None:
    """Print the sentence last, and leave it in `out` for the process that started this one: whole or not at all."""
    sentence = " ".join(sentence.split())
    if out.is_dir():
        try:
            (out / FAILURE).write_text(sentence, "utf-8")
        except OSError as error:
            (out / FAILURE).unlink(missing_ok=True)
            log.warning("the sentence could not be left in %s: %s", out, error)
    if PIPES_VARIABLE not in os.environ:  # Dagster's side prints it
        print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
