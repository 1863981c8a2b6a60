"""Runs of the whole chain that are killed with `kill -9` while a stage's program is at work."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
SECONDS, TRIES = 180, 9
NO_WORK = (".recipe.json", ".identities.json", "run", "manifest.json", ".manifest.json")
"""How what lies in a partial folder before the stage's work begins is called."""

Sign = Callable[[set[str]], bool]
"""Whether a stage has come as far as wanted, by the names of what it has written."""


@dataclass(frozen=True)
class Chain:
    """The chain with one recipe and one data folder."""

    recipe: Path
    data: Path

    def start(self) -> subprocess.Popen[str]:
        """Start `python -m assets`; what it says is in `said`."""
        command = [sys.executable, "-m", "assets", "--recipe", str(self.recipe)]
        environment = {**os.environ, "BDD_DATA_DIR": str(self.data), "DAGSTER_HOME": str(self.data.parent)}
        with (self.data.parent / "log.txt").open("w") as log:
            return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, text=True)

    def said(self) -> str:
        """Return all that the last run said."""
        return (self.data.parent / "log.txt").read_text()

    def killed(self, stage: str, sign: Sign, chance: random.Random) -> str:
        """Kill the run, or the stage's program alone, a moment after `sign`; return what was killed.

        All processes of the run have ended then, and the stage has not: where it was faster, it is made again.
        """
        for _ in range(TRIES):
            if self._is_made(stage):
                shutil.rmtree(self.data / stage)
            victim = chance.choice(["the run", "its program"])
            self._kill(stage, sign, chance.uniform(0, 0.1), victim)
            if not self._is_made(stage):
                return victim
        raise AssertionError(f"{stage} had ended each time before it could be killed")

    def _is_made(self, stage: str) -> bool:
        return bool(list((self.data / stage).glob("[0-9a-f]*/manifest.json")))

    def _kill(self, stage: str, sign: Sign, pause: float, victim: str) -> None:
        run = self.start()
        program = self._program_at_work(run, stage, sign)
        whole = psutil.Process(run.pid)
        everything = [whole, *whole.children(recursive=True)]
        time.sleep(pause)
        try:
            (whole if victim == "the run" else program).kill()
        except psutil.NoSuchProcess:
            whole.kill()
        run.wait(SECONDS)
        _, alive = psutil.wait_procs(everything[1:], timeout=10)
        assert alive == []

    def _program_at_work(self, run: subprocess.Popen[str], stage: str, sign: Sign) -> psutil.Process:
        deadline, since = time.monotonic() + SECONDS, psutil.Process(run.pid).create_time()
        while not (program := _program(run, stage)) or not sign(_traces(self.data, stage, since)):
            assert run.poll() is None, f"the run ended before {stage} could be killed: {self.said()[-2000:]}"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return program


def _program(run: subprocess.Popen[str], stage: str) -> psutil.Process | None:
    for process in psutil.Process(run.pid).children():
        try:
            if process.cmdline()[2:4] == ["pipeline.program", stage]:
                return process
        except psutil.Error:  # it ended while it was looked at
            continue
    return None


def _traces(data: Path, stage: str, since: float) -> set[str]:
    """Return the names of what was written since then, in the stage's partial folder and among the downloads."""
    paths = [*(data / stage).glob(".partial-*/**/*"), *data.glob(".downloads/.*.part")]
    names = set()
    for path in paths:
        with suppress(FileNotFoundError):  # renamed meanwhile
            if path.stat().st_mtime >= since:
                names.add(path.name)
    return names


def has_begun(traces: set[str]) -> bool:
    """Say whether the program has left a first trace of its work."""
    return any(not name.startswith(NO_WORK) for name in traces)


def has_a_state(traces: set[str]) -> bool:
    """Say whether training has written a state to go on from."""
    return "training_state.h5" in traces
