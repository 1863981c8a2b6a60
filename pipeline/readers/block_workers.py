"""Processes that read blocks of BDD frames, since decoding holds Python's lock: started, fed in order, dismissed.

What each of them does is in `block_process`.
"""

import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from pipeline.label_block import LabelBlock
from pipeline.parallel import ordered_map
from pipeline.readers.json_stream import Spread
from pipeline.readers.options import ReadOptions

PROJECT = Path(__file__).resolve().parents[2]
MOST = 4
"""Processes; more than these wait for the one that reads the file and writes the table."""

LENGTH = struct.Struct("<Q")


class BlockWorkers:
    """As many processes as the machine has cores: `with BlockWorkers() as workers: …`; none where it has but one."""

    def __init__(self, processes: int | None = None) -> None:
        self._wanted = min(processes or _cores(), MOST)
        self._workers: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()

    def spread(self, source: str, options: ReadOptions) -> Spread | None:
        """Return what has blocks of the file `source` read by the processes, as `JsonStream.blocks` wants it.

        None where there is nothing to gain. They are started when they are first needed.
        """
        if self._wanted < 2:
            return None
        self._start()
        header = pickle.dumps((source, options))

        def read(text: bytes) -> LabelBlock:
            worker = self._idle.get()
            try:
                return worker.read(header, text)
            finally:
                self._idle.put(worker)

        def spread(_: Callable[[bytes], Any], texts: Iterable[bytes]) -> Iterator[Any]:
            return ordered_map(read, texts, batch_size=1, threads=len(self._workers))

        return spread

    def _start(self) -> None:
        while len(self._workers) < self._wanted:
            self._workers.append(_Worker())
            self._idle.put(self._workers[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.dismiss()


class _Worker:
    """A process that reads blocks; it ends by itself when this one is gone, since its input ends."""

    def __init__(self) -> None:
        paths = [str(PROJECT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        command = [sys.executable, "-m", "pipeline.readers.block_process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def read(self, header: bytes, text: bytes) -> LabelBlock:
        """Have a block read; raises msgspec.DecodeError where it is not JSON, RuntimeError if the process ends.

        What went wrong with a process that ends is on its stderr, which is ours.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            send(requests, header)
            send(requests, text)
            requests.flush()
            answer = receive(answers)
            if answer is None:
                raise BrokenPipeError
        except BrokenPipeError as error:
            raise RuntimeError(f"a process that reads labels ended with {self._process.wait()}") from error
        if not answer:
            raise msgspec.DecodeError("not JSON")
        block: LabelBlock = pickle.loads(answer)  # noqa: S301 (our own process made it)
        return block

    def dismiss(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()


def send(stream: IO[bytes], content: bytes) -> None:
    """Write some bytes, before them how many they are."""
    stream.write(LENGTH.pack(len(content)))
    stream.write(content)


def receive(stream: IO[bytes]) -> bytes | None:
    """Return the bytes that `send` wrote; None where the stream ends."""
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(length)
    content = stream.read(size)
    return content if len(content) == size else None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
