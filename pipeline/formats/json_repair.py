"""Mends JSON that only some parsers take: NaN and Infinity, numbers out of range, text that is not UTF-8."""

import json
from collections.abc import Callable, Sequence
from typing import Any

Pairs = Sequence[tuple[str, Any]]

Fault = Callable[[str, int], Exception]
"""Makes the error that says what is wrong at which byte of the file."""


def mended(text: bytes, start: int, fault: Fault) -> bytes:
    """Return `text`, which starts at byte `start` of the file, as JSON that every parser takes.

    It is UTF-8, numbers are in range, NaN and Infinity are null. Bytes that are not UTF-8 are read as Windows-1252.
    What an object has under a key that comes again is kept. Raises what `fault` makes where even so it is not JSON.
    """
    decoded = as_text(text)
    try:
        value = loaded(decoded, _Members)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except json.JSONDecodeError as error:
        raise fault(error.msg, start + len(decoded[: error.pos].encode())) from None
    except RecursionError:
        raise fault("nested too deep", start) from None


def loaded(text: str, members_of: Callable[[Pairs], Any]) -> Any:
    """Return the value of JSON of any parser, its objects made by `members_of`; raises ValueError where it is none."""
    return json.loads(
        text,
        strict=False,
        parse_constant=_none,
        parse_int=_integer,
        parse_float=_number,
        object_pairs_hook=members_of,
    )


def as_text(text: bytes) -> str:
    """Return the text that bytes are: UTF-8, else Windows-1252."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


class _Members(dict[str, Any]):
    """An object that is written with all that was read, also where a key comes again."""

    def __init__(self, pairs: Pairs) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> Any:
        """Return the pairs as they were read."""
        return self._pairs


def _none(_: str) -> None:
    return None


def _integer(digits: str) -> int | float | None:
    return number if len(digits) <= 20 and -(2**63) <= (number := int(digits)) < 2**64 else _number(digits)


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None
