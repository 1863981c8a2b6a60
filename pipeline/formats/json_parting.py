"""Guesses where in a block of JSON the last whole element ends, from how the first two elements of the file parted.

A guess may be wrong; `json_stream` finds out by decoding the block.
"""

import re
from mmap import mmap

_SPACE = re.compile(rb"[ \t\r\n]*")
_KEY = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_FIRST_KEY = re.compile(rb'\{[ \t\r\n]*"[^"\\]*"')
_VALUE_WITH_KEY = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*\{[ \t\r\n]*"[^"\\]*"')


class Parting:
    """How two elements part in a file: bytes that are looked for, in the hope that nothing else looks like it."""

    def __init__(self, opening: bytes) -> None:
        self.known = False
        self._between = self._anchor = b""
        self._in_list = opening == b"["

    def learn(self, text: bytes) -> None:
        """Learn from `text`, which goes from a comma into the next element."""
        self.known = True
        start = _SPACE.match(text, 1).end()  # type: ignore[union-attr]
        self._between = text[:start]
        if self._in_list:
            first = _FIRST_KEY.match(text, start)
            self._anchor = b"}" + text[: first.end()] if first else b""
        elif (key := _KEY.match(text, start)) and (first := _VALUE_WITH_KEY.match(text, key.end())):
            self._anchor = text[key.end() - 1 : first.end()]

    def last(self, buffer: bytes | mmap, start: int, end: int) -> int | None:
        """Return where between `start` and `end` the comma behind the last whole element seems to be, or None."""
        found = buffer.rfind(self._anchor, start, end) if self._anchor else -1
        if found < 0:
            return None
        if self._in_list:
            return found + 1
        comma = buffer.rfind(b'"', start, found) - len(self._between)
        return comma if comma > start and buffer[comma : comma + len(self._between)] == self._between else None
