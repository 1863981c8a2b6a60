"""Batches of the elements of a JSON list, which processes decode where the file is large.

Knows JSON and no label format.
"""

import gc
import multiprocessing
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.errors import LabelFileError, ProcessError
from pipeline.formats.content import Content
from pipeline.formats.json_text import elements

BATCH = 4 << 20
"""Bytes of JSON, of whole elements, that are decoded at once; a larger element is a batch by itself."""
WORTH_PROCESSES = 64 << 20
"""Bytes of JSON that take longer to decode than processes to start."""
CANDIDATES = 1000
"""Places in the first object of a list that may be its end."""
BATCHES_AHEAD = 2
"""Batches for each process that are decoded or wait to be used."""

_LIST_START = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*(?=\{)")
_BETWEEN = re.compile(rb'\}\s*,\s*\{\s*"[^"\\]*"')

Result = TypeVar("Result")


def as_list(text: bytes | memoryview) -> bytes:
    """Return the text of elements that follow one another as a list of their own."""
    return b"".join((b"[", text, b"]"))


def batches(values: Iterable[msgspec.Raw]) -> Iterator[bytes]:
    """Yield the elements of a list in batches, each a list of its own."""
    batch: list[msgspec.Raw] = []
    size = 0
    for value in values:
        batch.append(value)
        size += len(value)
        if size >= BATCH:
            yield as_list(b",".join(batch))
            batch, size = [], 0
    if batch:
        yield as_list(b",".join(batch))


def batches_of_file(content: Content) -> tuple[list[msgspec.Raw], list[slice]] | None:
    """Return the first elements of a list of objects, and where its batches lie in the file; None for other JSON.

    Unlike `json_text.load` this holds one batch of the file in memory. It looks for the text between two objects, the
    same everywhere where a program wrote it, and decodes each batch: with a wrong boundary there is none.
    """
    data = content.data
    opening, end = _LIST_START.match(data), data.rfind(b"]")
    if opening is None or data[end + 1 : end + BATCH].strip():
        return None
    start = opening.end()
    between = _text_between(data[start : start + BATCH])
    if between is None:
        return None
    first = None
    places = []
    while start < end:
        stop = end
        if end - start > BATCH:
            stop = max(data.rfind(between, start, start + BATCH), start) + 1
            stop = stop if stop > start + 1 else data.find(between, start, end) + 1 or end
        values = _strict_elements(data[start:stop])
        if values is None:
            return None
        first = first or values
        places.append(slice(start, stop))
        content.release_pages()
        start = stop + between.index(b"{") - 1
    return first or [], places


def _text_between(text: bytes) -> bytes | None:
    """Return the text between the first two objects of a list, from the `}` of one to the first key of the other."""
    candidates = islice(_BETWEEN.finditer(text), CANDIDATES)
    return next((each[0] for each in candidates if _strict_elements(text[: each.start() + 1]) is not None), None)


def _strict_elements(text: bytes) -> list[msgspec.Raw] | None:
    """Return the elements that a text consists of; None where it is not that, or not strict JSON in UTF-8."""
    try:
        if not text.isascii():
            text.decode()
        return elements(as_list(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class BatchProcesses(AbstractContextManager["BatchProcesses"]):
    """Processes that decode the batches of large files, started for the first large file."""

    def __init__(self, count: int | None = None) -> None:
        """`count` is by default that of the processors; with one, nothing is decoded elsewhere."""
        self._count = count or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def __exit__(self, *exc: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def start_for(self, content: Content) -> bool:
        """Return whether a file is large enough for them; they start while its elements are found."""
        if content.path is None or len(content.data) < WORTH_PROCESSES or self._count < 2:
            return False
        self._started()
        return True

    def results(self, work: Callable[[bytes], Result], places: Sequence[slice], content: Content) -> Iterator[Result]:
        """Yield `work` of each batch of a list, as JSON, in their order; `places` are those of the batches in the file.

        `work` must be picklable. Raises LabelFileError where the file changes meanwhile, and ProcessError where a
        process is ended from outside.
        """
        assert content.path is not None
        pool = self._started()
        waiting: deque[Future[Result]] = deque()
        try:
            for place in places:
                waiting.append(pool.submit(_work_on, work, content.path, place))
                if len(waiting) >= BATCHES_AHEAD * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (EOFError, OSError, msgspec.DecodeError):  # its JSON was sound when the elements were found
            raise LabelFileError(f"{content.name}: the label file has changed while it was read; run again") from None
        except BrokenProcessPool:
            what = f"a process that reads {content.name} was ended from outside"
            raise ProcessError(f"{what}: the system may be short of memory") from None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")  # a fork of a process that has threads may hang
            context.set_forkserver_preload(["pipeline.formats", "pandas"])  # pandas: Arrow imports it
            self._pool = ProcessPoolExecutor(self._count, context, initializer=_start_process)
            self._pool.submit(int)
        return self._pool


def _work_on(work: Callable[[bytes], Result], path: Path, place: slice) -> Result:
    """Return `work` of elements that lie in a file; raises EOFError where the file is shorter by now."""
    with path.open("rb") as file:
        file.seek(place.start)
        text = file.read(place.stop - place.start)
    if len(text) < place.stop - place.start:
        raise EOFError(path)
    return work(as_list(text))


def _start_process() -> None:
    """Make this process end when the one that started it does, however that ends."""
    gc.disable()  # a batch is millions of tuples and no cycles: looking for these takes a fifth of the time
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
