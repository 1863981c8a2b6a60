"""A program run and measured: how long, how much processor time, how much memory, its own processes included.

What is run is for the benchmarks to say.
"""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

BETWEEN_LOOKS = 0.1
"""Seconds; looking for a program's processes takes 2 ms of a core that it may want itself."""


@dataclass(frozen=True)
class Measured:
    """What a program took."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    """Most resident memory of the program and its processes together; what they share counts for each of them."""

    def __str__(self) -> str:
        """Return the figures for a line of a table."""
        return (
            f"{self.seconds:7.2f} s  {self.processor_seconds:7.2f} s of processor time  "
            f"{self.peak_bytes / 1e6:7,.0f} MB at most"
        )


def measured(command: Sequence[str], log: Path) -> Measured:
    """Run a program to its end, its messages to `log`; raises RuntimeError where it fails."""
    with log.open("wb") as messages:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=messages, stderr=subprocess.STDOUT)
        memory = _Memory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    memory.ended.set()
    memory.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {log.read_text()[-2000:]}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, max(memory.peak, usage.ru_maxrss * 1024))


class _Memory(threading.Thread):
    """Looks again and again how much memory a process and its descendants hold."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peak = 0
        self._pid = pid
        self.start()

    def run(self) -> None:
        while not self.ended.wait(BETWEEN_LOOKS):
            try:
                top = psutil.Process(self._pid)
                self.peak = max(self.peak, sum(_resident(each) for each in (top, *top.children(recursive=True))))
            except psutil.NoSuchProcess:
                return


def _resident(process: psutil.Process) -> int:
    try:
        resident: int = process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    return resident
