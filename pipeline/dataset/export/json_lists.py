"""JSON lists written value by value, since those of a large data set are not held in memory."""

import json
from collections.abc import Iterable
from typing import Any, BinaryIO


def write_list(file: BinaryIO, values: Iterable[Any]) -> None:
    """Write a JSON list, a value a line."""
    separator = b"[\n"
    for value in values:
        file.write(separator + as_json(value))
        separator = b",\n"
    file.write(b"[]" if separator == b"[\n" else b"\n]")


def as_json(value: Any) -> bytes:
    """Return JSON in ASCII."""
    return json.dumps(value, allow_nan=False).encode()
