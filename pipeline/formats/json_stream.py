"""JSON of label files: its elements are found without decoding them, and read in batches, by processes if it is large.

Knows JSON and no label format.
"""

import codecs
import logging
import mmap as mmap_module
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from mmap import mmap
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import pyarrow as pa

from pipeline.errors import LabelFileError, ProcessError
from pipeline.formats.json_repair import cut_short, repaired
from pipeline.formats.opening import Content

BATCH = 4 << 20
"""Bytes of JSON, of whole elements, that are decoded at once; a larger element is a batch by itself."""
WORTH_PROCESSES = 64 << 20
"""Bytes of JSON that take longer to decode than processes to start."""
BATCHES_AHEAD = 2
"""A process, that are decoded or wait to be used."""

_parts = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Mapped:
    """A file of which the text is mapped, from the byte `start` on."""

    path: Path
    start: int
    memory: mmap

    def forget(self) -> None:
        """Let the system have the memory of the pages that were looked at."""
        if hasattr(mmap_module, "MADV_DONTNEED"):  # Linux
            self.memory.madvise(mmap_module.MADV_DONTNEED)


@dataclass(frozen=True)
class Json:
    """Strict JSON: `parts` are the elements of its list, or the values of its object by key (the last one counts)."""

    name: str
    """What messages call the file."""
    text: memoryview
    parts: Any
    mapped: Mapped | None = None
    """Where its bytes lie, if it is a large file as it is."""

    @property
    def members(self) -> dict[str, msgspec.Raw]:
        """The parts of an object; none where it is a list."""
        return self.parts if isinstance(self.parts, dict) else {}


@dataclass(frozen=True)
class Batch:
    """Elements of a list that follow one another: where their text begins and ends in the whole text."""

    start: int
    end: int

    def text(self, text: memoryview) -> bytes:
        """Return them as a list of their own."""
        return b"".join((b"[", text[self.start : self.end], b"]"))


def load(content: Content) -> Json:
    """Return the JSON of a label file; raises LabelFileError where it is none, or cut short.

    What is not strict is repaired, as `json_mending` does it, with one warning. Of a key that stands twice in an object
    the last one counts.
    """
    text = memoryview(content.data)
    if not text:
        raise LabelFileError(f"{content.name}: the label file is empty")
    if text[:3] == codecs.BOM_UTF8:
        text = text[3:]
    try:
        if _is_utf8(text):
            return Json(content.name, text, _parts.decode(text), _mapped(content, text))
    except msgspec.ValidationError:  # neither a list nor an object
        return Json(content.name, text, None)
    except msgspec.DecodeError as error:
        if "truncated" in str(error) and not _is_closed(text):
            raise cut_short(content.name, len(content.data)) from None
    except RecursionError:
        raise LabelFileError(f"{content.name}: not JSON that is read: nested too deep") from None
    return _repaired(content)


def _mapped(content: Content, text: memoryview) -> Mapped | None:
    if content.path is None or not isinstance(content.data, mmap):
        return None
    return Mapped(content.path, len(content.data) - len(text), content.data)


def _repaired(content: Content) -> Json:
    strict, repeated = repaired(bytes(content.data), content.name)
    twice = f"; of keys that come again in an object the last one counts: {', '.join(repeated)}" if repeated else ""
    log.warning(
        "%s: not strict JSON: NaN and Infinity are taken for null, text that is not UTF-8 for Windows-1252%s",
        content.name,
        twice,
    )
    try:
        return Json(content.name, memoryview(strict), _parts.decode(strict))
    except msgspec.ValidationError:
        return Json(content.name, memoryview(strict), None)


def _is_utf8(text: memoryview) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(text), BATCH):
            piece = bytes(text[start : start + BATCH])
            if not (piece.isascii() and decoder.getstate() == (b"", 0)):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_closed(text: memoryview) -> bool:
    """Say whether a text ends with the bracket that closes the one it begins with."""
    start, end = bytes(text[:1000]).lstrip()[:1], bytes(text[-1000:]).rstrip()[-1:]
    return (start, end) in ((b"[", b"]"), (b"{", b"}"))


def elements(value: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the elements of a list's JSON."""
    return _list.decode(value)


def start_of(value: msgspec.Raw) -> bytes:
    """Return the first byte of a value's JSON."""
    return bytes(memoryview(value)[:1])


def batches(found: Sequence[msgspec.Raw], whole: memoryview) -> Iterator[Batch]:
    """Yield the elements of a list in `whole` in batches."""
    base = pa.py_buffer(whole).address
    first, size = 0, 0
    for at, element in enumerate(found, 1):
        size += len(element)
        if size >= BATCH or at == len(found):
            start, last = (pa.py_buffer(found[place]).address - base for place in (first, at - 1))
            yield Batch(start, last + len(element))
            first, size = at, 0


class Processes:
    """Processes that decode the batches of large files, started when the first of these comes."""

    def __init__(self, count: int | None = None) -> None:
        """`count` is by default that of the processors; one process means this one."""
        self._count = count or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def help_with(self, content: Content) -> bool:
        """Say whether a file is so large that they are worth it; they start while its elements are found."""
        if content.path is None or len(content.data) < WORTH_PROCESSES or self._count < 2:
            return False
        self._started()
        return True

    def results(self, work: Callable[[bytes], Result], found: Sequence[msgspec.Raw], whole: Json) -> Iterator[Result]:
        """Yield what `work` makes of each batch of the elements `found` of a list, in their order.

        `work` must be such that other processes can have it. Raises what it raises; LabelFileError where the file has
        changed, and ProcessError where a process was ended from outside.
        """
        assert whole.mapped is not None
        path, start = whole.mapped.path, whole.mapped.start
        listed = list(batches(found, whole.text))
        whole.mapped.forget()
        pool = self._started()
        waiting: deque[Future[Result]] = deque()
        try:
            for batch in listed:
                waiting.append(pool.submit(_work_on, work, path, start + batch.start, batch.end - batch.start))
                if len(waiting) >= BATCHES_AHEAD * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (EOFError, OSError, msgspec.DecodeError):  # it was found to be sound before
            raise LabelFileError(f"{whole.name}: the label file has changed while it was read; run again") from None
        except BrokenProcessPool:
            what = f"a process that reads {whole.name} was ended from outside"
            raise ProcessError(f"{what}: the system may be short of memory") from None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")  # a fork of a process that has threads may hang
            context.set_forkserver_preload(["pipeline.formats", "pandas"])  # pandas: Arrow imports it
            self._pool = ProcessPoolExecutor(self._count, context, initializer=_end_with_parent)
            self._pool.submit(int)
        return self._pool


def _work_on(work: Callable[[bytes], Result], path: Path, start: int, length: int) -> Result:
    """Return what `work` makes of elements that lie in a file; raises EOFError where they don't any more."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(length)
    if len(text) < length:
        raise EOFError(path)
    return work(b"".join((b"[", text, b"]")))


def _end_with_parent() -> None:
    """See that this process ends when the one that started it does, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
