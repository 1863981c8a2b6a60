"""Walks through JSON of any size in bounded memory: the members of an object, the elements of a list, in large blocks.

Knows JSON's grammar and no label format.
"""

import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Any, Protocol, TypeVar

import msgspec

from pipeline.errors import LabelFileError
from pipeline.formats.json_parting import Parting
from pipeline.formats.json_repair import mended
from pipeline.formats.opening import Read

BLOCK = 4 << 20
"""Bytes read at a time; at most about so many are decoded at a time."""

LOOK_AHEAD = 1 << 16
"""Bytes looked at to learn how elements part."""

MOST = 1 << 30
"""The largest single element, in bytes."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\[\]{}\":]+")
_KEY = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

Decoded = TypeVar("Decoded")


Buffer = bytes | mmap


@dataclass(frozen=True, slots=True)
class Stretch:
    """A block that was passed and not read yet: `buffer` from `start` to `end`, in brackets of its own."""

    buffer: Buffer
    start: int
    end: int
    brackets: bytes

    def text(self) -> bytes:
        """Return the block."""
        with memoryview(self.buffer) as view:
            return b"".join((self.brackets[:1], view[self.start : self.end], self.brackets[1:]))


class Spread(Protocol):
    """Decodes blocks, maybe several at once, and yields the results in the order of the blocks."""

    def __call__(self, decode: Callable[[bytes], Decoded], blocks: Iterable[Stretch], /) -> Iterator[Decoded]:
        """Yield `decode(block.text())` of each block; the first error is raised in its place, and ends it."""


class JsonStream:
    """A position in a JSON text; `name` is what errors call the file.

    The text is read bit by bit, or it is the `mapped` file, which no byte of is copied before it is decoded.
    """

    def __init__(self, read: Read, name: str, mapped: mmap | None = None) -> None:
        self.name = name
        self._read = read
        self._buffer: Buffer = mapped if mapped is not None else b""
        self._at = len(BOM_UTF8) if self._buffer[: len(BOM_UTF8)] == BOM_UTF8 else 0
        self._gone = -self._at
        self._ended = mapped is not None

    @property
    def byte(self) -> int:
        """How many bytes of the text lie before the position."""
        return self._gone + self._at

    def peek(self) -> bytes:
        """Return the next byte that is not space, without passing it; empty at the end of the text."""
        self._refuse_shorter()
        while True:
            self._at = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self, expected: bytes) -> bytes:
        """Pass the next byte, which must be one of `expected`, and return it."""
        found = self.peek()
        if not found:
            raise self.cut_short()
        if found not in [bytes([each]) for each in expected]:
            raise self.fault(f"expected {expected.decode()!r}, found {found.decode(errors='replace')!r}")
        self._at += 1
        return found

    def value(self) -> bytes:
        """Pass one whole value and return its text; its brackets and quotes match, the rest is not checked."""
        first = self.peek()
        if first in (b"{", b"["):
            return self._pass(self._end_of_brackets())
        if first == b'"':
            return self._pass(self._end_of(_KEY))
        if not first:
            raise self.cut_short()
        if first in b",:]}":
            raise self.fault(f"expected a value, found {first.decode()!r}")
        return self._pass(self._end_of_scalar())

    def members(self) -> Iterator[str]:
        """Pass an object member by member: yields each key, with the position at its value, which must be passed."""
        self.take(b"{")
        if self.peek() == b"}":
            self._at += 1
            return
        while True:
            if self.peek() not in (b'"', b""):
                raise self.fault("expected a key in quotes")
            key = str(decode(self.value(), self))
            self.take(b":")
            yield key
            if self.take(b",}") == b"}":
                return

    def blocks(self, decode_block: Callable[[bytes], Decoded], spread: Spread | None = None) -> Iterator[Decoded]:
        """Pass a list or an object in blocks of whole elements, and yield what `decode_block` makes of each.

        A block is itself a list or an object, as the whole is. `decode_block` must raise msgspec.DecodeError where it
        is not JSON: this is how a wrong guess at where elements part is found out, so it must look at all of the block.
        `spread` (default: map) may take texts ahead and decode them elsewhere; it gives results and errors in order.
        """
        opening = self.take(b"[{")
        closing = b"]" if opening == b"[" else b"}"
        if self.peek() == closing:
            self._at += 1
            return
        parting = Parting(opening)
        careful_until = 0
        while True:
            if self.byte >= careful_until:
                sent: deque[Stretch] = deque()
                try:
                    for decoded in (spread or _one_by_one)(
                        decode_block, self._guessed(parting, opening + closing, sent)
                    ):
                        sent.popleft()
                        yield decoded
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    careful_until = self._put_back(sent)
            element = self._element(opening)
            yield self._decoded(opening + element + closing, decode_block)
            if self.take(b"," + closing) == closing:
                return
            self._learn(parting)

    def _guessed(self, parting: Parting, brackets: bytes, sent: deque[Stretch]) -> Iterator[Stretch]:
        """Pass and yield blocks that seem to end between two elements; `sent` keeps what was passed."""
        while (cut := self._cut(parting)) is not None and self._buffer[cut : cut + 1] == b",":
            sent.append(Stretch(self._buffer, self._at, cut, brackets))
            self._at = cut + 1
            yield sent[-1]

    def _put_back(self, sent: deque[Stretch]) -> int:
        """Stand again before all of `sent`; return the byte at which the first of them ends."""
        passed = sum(block.end + 1 - block.start for block in sent)
        start = self.byte - passed
        if sent[0].buffer is self._buffer:
            self._at = sent[0].start
        else:
            pieces = [block.buffer[block.start : block.end + 1] for block in sent]
            self._buffer = b"".join((*pieces, self._buffer[self._at :]))
            self._at, self._gone = 0, start
        return start + sent[0].end - sent[0].start

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self.peek():
            raise self.fault("something follows where the JSON ends")

    def cut_short(self) -> LabelFileError:
        """Return the error for a text that ends too early."""
        length = self._gone + len(self._buffer)
        if not length:
            return LabelFileError(f"{self.name}: the label file is empty")
        what = f"the label file is cut short: its JSON is unfinished after byte {length}; fetch or export it again"
        return LabelFileError(f"{self.name}: {what}")

    def fault(self, what: str, byte: int | None = None) -> LabelFileError:
        """Return the error for a text that is not JSON here."""
        return LabelFileError(f"{self.name}: not JSON at byte {self.byte if byte is None else byte}: {what}")

    def _more(self, wanted: int = 1) -> bool:
        """Read on, `wanted` bytes or what there is, forgetting what lies before the position; False at the end."""
        chunks: list[bytes] = []
        while wanted > 0 and not self._ended:
            chunk = self._read(BLOCK)
            wanted -= len(chunk)
            self._ended = not chunk
            chunks.append(chunk)
        if not any(chunks):
            return False
        self._gone += self._at
        with memoryview(self._buffer) as view:
            self._buffer = b"".join((view[self._at :], *chunks))
        self._at = 0
        if len(self._buffer) > MOST:
            raise self.fault(f"a single element of more than {MOST} bytes")
        return True

    def _pass(self, length: int) -> bytes:
        text = self._buffer[self._at : self._at + length]
        self._at += length
        return text

    def _end_of_brackets(self) -> int:
        """Return the length of the object or list at the position, reading on as far as it goes."""
        depth, at = 0, 0
        while True:
            for token in _TOKEN.finditer(self._buffer, self._at + at):
                text = token.group()
                if text == b'"':
                    at = token.start() - self._at
                    break
                at = token.end() - self._at
                if text in b"{[":
                    depth += 1
                elif text in b"}]":
                    depth -= 1
                    if not depth:
                        return at
            if not self._more(self._as_much_again()):
                raise self.cut_short()

    def _end_of(self, pattern: re.Pattern[bytes]) -> int:
        while True:
            if found := pattern.match(self._buffer, self._at):
                return found.end() - self._at
            if not self._more(self._as_much_again()):
                raise self.cut_short()

    def _end_of_scalar(self) -> int:
        while True:
            found = _SCALAR.match(self._buffer, self._at)
            if found is None:
                raise self.fault("expected a value")
            if found.end() < len(self._buffer) or not self._more(self._as_much_again()):
                return found.end() - self._at

    def _as_much_again(self) -> int:
        """Return how many bytes lie ahead: read on by as many, a value of any length is copied only a few times."""
        return max(1, len(self._buffer) - self._at)

    def _element(self, opening: bytes) -> bytes:
        if opening == b"[":
            return self.value()
        if self.peek() not in (b'"', b""):
            raise self.fault("expected a key in quotes")
        key = self.value()
        self.take(b":")
        return key + b":" + self.value()

    def _decoded(self, text: bytes, decode_block: Callable[[bytes], Decoded]) -> Decoded:
        """Decode one element that is known to be whole; what msgspec refuses (NaN, Latin-1) is mended first."""
        try:
            return decode_block(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return decode_block(mended(text, self.byte - len(text) + 1, self.fault))
        except RecursionError:
            raise self.fault("nested too deep") from None

    def _cut(self, parting: Parting) -> int | None:
        """Return where in the buffer the last whole element seems to end, a block ahead, or None."""
        self._refuse_shorter()
        self._more(self._at + BLOCK - len(self._buffer))
        return parting.last(self._buffer, self._at, self._at + BLOCK)

    def _refuse_shorter(self) -> None:
        """Raise LabelFileError where the mapped file has lost its end: touching what is gone ends the process."""
        if isinstance(self._buffer, mmap) and self._buffer.size() < len(self._buffer):
            raise LabelFileError(f"{self.name}: the label file has become shorter while it was read")

    def _learn(self, parting: Parting) -> None:
        """Learn from the place between two elements how they part in this file; the position is after a comma."""
        if parting.known:
            return
        self._at -= 1
        self._more(self._at + LOOK_AHEAD - len(self._buffer))
        parting.learn(self._buffer[self._at : self._at + LOOK_AHEAD])
        self._at += 1


def _one_by_one(decode_block: Callable[[bytes], Decoded], blocks: Iterable[Stretch]) -> Iterator[Decoded]:
    return (decode_block(block.text()) for block in blocks)


def decode(text: bytes, stream: JsonStream) -> Any:
    """Return the value of `text`, mended where need be; raises LabelFileError where it is not JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(mended(text, stream.byte - len(text), stream.fault))
    except RecursionError:
        raise stream.fault("nested too deep") from None
