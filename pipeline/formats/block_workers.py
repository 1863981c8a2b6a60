"""Processes that read blocks of BDD frames, since decoding holds Python's lock: started, fed in order, dismissed.

What each of them does is in `block_process`.
"""

import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from mmap import mmap
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from pipeline.errors import ProcessError
from pipeline.formats.json_stream import Spread, Stretch
from pipeline.formats.options import ReadOptions
from pipeline.formats.shared_memory import SharedMemory
from pipeline.instances.label_block import LabelBlock
from pipeline.running.threads import ordered_map

PROJECT = Path(__file__).resolve().parents[2]
MOST = 4
"""Processes; more than these wait for the one that reads the file and writes the table."""

KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(256 << 20)}
"""Has the C library keep the room of a block for the next one, which saves the kernel a thousand page faults each."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""There are as many processes as cores: threads of numpy's and pyarrow's would only wait, and do so busily."""

LENGTH = struct.Struct("<Q")


class BlockWorkers:
    """As many processes as the machine has cores: `with BlockWorkers() as workers: …`; none where it has but one."""

    def __init__(self, processes: int | None = None) -> None:
        self._wanted = min(processes or _cores(), MOST)
        self._workers: list[_Worker] = []
        self._idle: SimpleQueue[_Worker] = SimpleQueue()

    def spread(self, source: str, options: ReadOptions, path: Path) -> Spread | None:
        """Return what has blocks of the file `path`, called `source`, read by the processes, for `JsonStream.blocks`.

        None where there is nothing to gain. They are started when they are first needed.
        """
        self.start()
        if not self._workers:
            return None
        header = pickle.dumps((source, options))

        def read(block: Stretch) -> LabelBlock:
            worker = self._idle.get()
            try:
                return worker.read(header, block, path)
            finally:
                self._idle.put(worker)

        def spread(_: Callable[[bytes], Any], blocks: Iterable[Stretch]) -> Iterator[Any]:
            return ordered_map(read, blocks, batch_size=1, threads=len(self._workers))

        return spread

    def start(self) -> None:
        """Start the processes, if there is anything to gain; they take half a second until they can read."""
        while self._wanted > 1 and len(self._workers) < self._wanted:
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
        environment = {**os.environ, **KEPT_MEMORY, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._memory = SharedMemory()
        number = self._memory.descriptor
        command = [sys.executable, "-m", "pipeline.formats.block_process", str(number)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, pass_fds=(number,)
        )

    def read(self, header: bytes, block: Stretch, path: Path) -> LabelBlock:
        """Have a block of the file `path` read.

        Raises msgspec.DecodeError where it is not JSON, or the process can't read it; ProcessError if the process ends.

        What went wrong with a process that ends is on its stderr, which is ours.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        place = self._place(block, path)
        try:
            send(requests, header)
            send(requests, msgspec.msgpack.encode(place))
            requests.flush()
            answer = receive(answers)
            if answer is None:
                raise BrokenPipeError
        except BrokenPipeError as error:
            status = self._process.wait()
            said = f"a process that reads {path} ended with {status}"
            if status == -signal.SIGKILL:
                said += ": the system may have been short of memory"
            raise ProcessError(said) from error
        sizes = msgspec.msgpack.decode(answer, type=list[int])
        if not sizes:
            raise msgspec.DecodeError("not JSON")
        pickled, *buffers = self._memory.get(sizes)
        labels: LabelBlock = pickle.loads(pickled, buffers=buffers)  # noqa: S301 (our own process made it)
        return labels

    def _place(self, block: Stretch, path: Path) -> "Place":
        """Return where the process finds the block; one that no file holds as it is goes to the memory of both."""
        if isinstance(block.buffer, mmap):
            return Place(str(path), block.start, block.end - block.start, block.brackets)
        with memoryview(block.buffer) as view:
            length = self._memory.put_closely(block.brackets[:1], view[block.start : block.end], block.brackets[1:])
        return Place("", 0, length, b"")

    def dismiss(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()
        self._memory.close()


class Place(msgspec.Struct):
    """A block in a file, from the byte `start` on, and the brackets to be put round it; or all in shared memory."""

    path: str
    """Empty where it is in the memory of both, in its brackets."""
    start: int
    length: int
    brackets: bytes


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
