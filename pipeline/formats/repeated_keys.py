"""JSON objects that have a key more than once: parsers keep the last value, and labels in the others would be lost."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.formats.json_repair import Pairs, as_text, loaded

LONG = 1 << 16
"""Bytes from which Arrow searches faster than Python, and its call counts for nothing."""


def joined(text: bytes, *keys: str) -> bytes:
    """Return JSON in which each object has each of `keys` at most once, with the elements of all its lists.

    A value that is neither a list nor null is an element. Text in which nothing is repeated, or that is not JSON, is
    returned as it is.
    """
    if all(count(text, key) < 2 for key in keys):
        return text
    found = False

    def members_of(pairs: Pairs) -> dict[str, Any]:
        nonlocal found
        members = dict(pairs)
        for key in keys if len(members) < len(pairs) else ():
            values = [value for name, value in pairs if name == key]
            if len(values) > 1:
                found = True
                members[key] = [element for value in values for element in _elements(value)]
        return members

    try:
        value = loaded(as_text(text), members_of)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") if found else text


def with_own_keys(pairs: Pairs, marks: Collection[str]) -> dict[str, Any]:
    """Return an object in which members that are objects with one of the keys `marks` all have keys of their own.

    Of any other members that share a key the last one counts.
    """
    members: dict[str, Any] = {}
    times: Counter[str] = Counter()
    for key, value in pairs:
        free = key
        while free in members and (_has_any(value, marks) or _has_any(members[free], marks)):
            times[key] += 1
            free = f"{key}~{times[key] + 1}"
        members[free] = value
    return members


def _has_any(value: Any, keys: Collection[str]) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint(keys)


def count(text: bytes | memoryview, key: str) -> int:
    """Return how many times a key stands in a JSON text, spelt plainly; a string, or a longer key, may look like it."""
    end = f'{key}"'
    if len(text) < LONG:
        return bytes(text).count(end.encode())
    # RE2 looks for the first and the last letter in many bytes at once, which is several times faster, and copies none.
    ends = pa.py_buffer(np.array([0, len(text)], np.int64))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(text)])
    return int(pc.count_substring_regex(whole, end)[0].as_py())


def _elements(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
