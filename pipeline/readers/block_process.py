"""The process that `block_workers` starts: reads blocks of labels from stdin, answers with what they say on stdout.

A request is a pickled (source, options) and an order, the block or its place; an answer is a pickled LabelBlock, or
nothing where the block is not JSON.
"""

import gc
import os
import pickle
import signal
import sys
from typing import BinaryIO

import msgspec

from pipeline.readers.bdd_block import BlockReader
from pipeline.readers.block_workers import receive, send, text_of


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Read each block, until there are no more requests or nobody listens."""
    readers: dict[bytes, BlockReader] = {}
    while (header := receive(requests)) is not None and (order := receive(requests)) is not None:
        if header not in readers:
            readers = {header: BlockReader(*pickle.loads(header))}  # noqa: S301 (the parent process made it)
        send(answers, _answer(readers[header], order))
        answers.flush()


def _answer(read: BlockReader, order: bytes) -> bytes:
    try:
        return pickle.dumps(read(text_of(order)), pickle.HIGHEST_PROTOCOL)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # frames and labels hold no cycles, and looking for some takes a tenth of the time
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # whoever wanted the labels is gone; leave without flushing to them
        os._exit(1)
