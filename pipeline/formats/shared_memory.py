"""Memory that two processes share: blocks of labels go one way through it, what they say the other, each copied once.

Only one of the two may use it at a time; they agree on whose turn it is over a pipe.
"""

import os
from collections.abc import Sequence
from itertools import accumulate
from mmap import ACCESS_READ, mmap
from pickle import PickleBuffer

import pyarrow as pa

Part = bytes | memoryview | PickleBuffer

ALIGNED = 64
"""Bytes: where Arrow wants columns to begin."""


class SharedMemory:
    """A file without a name, in memory; a child process that inherits its descriptor has it, too."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = os.memfd_create("labels") if descriptor is None else descriptor
        self._mapped: mmap | None = None

    def put_closely(self, *parts: bytes | memoryview) -> int:
        """Write bytes one after the other, in place of what was there; return how many."""
        end = 0
        for part in parts:
            written = 0
            while written < len(part):
                written += os.pwrite(self.descriptor, part[written:], end + written)
            end += written
        return end

    def view(self, length: int) -> memoryview:
        """Return the first bytes as they are, without a copy of them: they hold until something is put there."""
        if self._mapped is None or len(self._mapped) < length:
            self._mapped = mmap(self.descriptor, os.fstat(self.descriptor).st_size, access=ACCESS_READ)
        return memoryview(self._mapped)[:length]

    def put(self, parts: Sequence[Part]) -> list[int]:
        """Write bytes, in place of what was there; return how many there are in each part."""
        views = [memoryview(part).cast("B") for part in parts]
        sizes = [len(view) for view in views]
        *starts, end = _starts(sizes)
        if os.fstat(self.descriptor).st_size < end:
            os.truncate(self.descriptor, end)
        for view, start in zip(views, starts, strict=True):
            written = 0
            while written < len(view):
                written += os.pwrite(self.descriptor, view[written:], start + written)
        return sizes

    def get(self, sizes: Sequence[int]) -> list[memoryview]:
        """Return what `put` wrote; raises EOFError where there is less."""
        *starts, end = _starts(sizes)
        room = memoryview(pa.allocate_buffer(end))
        read = 0
        while read < end:
            more = os.preadv(self.descriptor, [room[read:]], read)
            if not more:
                raise EOFError(f"{read} of {end} bytes")
            read += more
        return [room[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def _starts(sizes: Sequence[int]) -> list[int]:
    """Return where each part begins, and where the last one ends, at multiples of `ALIGNED` bytes."""
    return list(accumulate((-(-size // ALIGNED) * ALIGNED for size in sizes), initial=0))
