"""The process that `block_workers` starts: reads blocks of labels from stdin, answers with what they say on stdout.

A request is a pickled (source, options) and the place of a block. The answer, a pickled LabelBlock and the buffers of
its columns, goes to the memory that both processes share; the sizes of these parts are sent: none where the block is
not JSON, or can't be read.
"""

import errno
import gc
import os
import pickle
import signal
import sys
from typing import BinaryIO

import msgspec

from pipeline.formats.bdd.block import BlockReader
from pipeline.formats.block_workers import Place, receive, send
from pipeline.formats.json_stream import BLOCK
from pipeline.formats.shared_memory import Part, SharedMemory
from pipeline.running.without_pandas import do_without_pandas


class Room:
    """Memory for one block after the other: that of a new one the kernel would have to clear first."""

    def __init__(self) -> None:
        self._bytes = bytearray(2 * BLOCK)

    def text(self, place: Place) -> memoryview:
        """Return a file's block, which is here until the next one is asked for; raises OSError without all of it."""
        if len(self._bytes) < place.length + 2:
            self._bytes = bytearray(place.length + 2)
        view, end = memoryview(self._bytes), 1
        view[0:1], closing = place.brackets[:1], place.brackets[1:]
        with open(place.path, "rb", buffering=0) as file:
            file.seek(place.start)
            while end <= place.length:
                read = file.readinto(view[end : place.length + 1])
                if not read:
                    raise OSError(errno.EIO, "shorter than it was", place.path)
                end += read
        view[end : end + 1] = closing
        return view[: end + 1]


def serve(requests: BinaryIO, answers: BinaryIO, memory: SharedMemory) -> None:
    """Read each block, until there are no more requests or nobody listens."""
    readers: dict[bytes, BlockReader] = {}
    room = Room()
    while (header := receive(requests)) is not None and (order := receive(requests)) is not None:
        if header not in readers:
            readers = {header: BlockReader(*pickle.loads(header))}  # noqa: S301 (the parent process made it)
        place = msgspec.msgpack.decode(order, type=Place)
        parts = _said(readers[header], room, place, memory)
        send(answers, msgspec.msgpack.encode(memory.put(parts)))
        answers.flush()


def _said(read: BlockReader, room: Room, place: Place, memory: SharedMemory) -> list[Part]:
    """Return what a block says, pickled, and the buffers that go with it."""
    buffers: list[Part] = []
    try:
        block = read(room.text(place) if place.path else memory.view(place.length))
        pickled = pickle.dumps(block, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError):
        return []
    return [pickled, *buffers]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    do_without_pandas()
    gc.disable()  # frames and labels hold no cycles, and looking for some takes a tenth of the time
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer, SharedMemory(int(sys.argv[1])))
    except BrokenPipeError:  # whoever wanted the labels is gone; leave without flushing to them
        os._exit(1)
