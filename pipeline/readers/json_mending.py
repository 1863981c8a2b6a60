"""Mends JSON that only some parsers take: NaN and Infinity, numbers out of range, text that is not UTF-8."""

import json
from collections.abc import Callable

Fault = Callable[[str, int], Exception]
"""Makes the error that says what is wrong at which byte of the file."""


def mended(text: bytes, start: int, fault: Fault) -> bytes:
    """Return `text`, which starts at byte `start` of the file, as JSON that every parser takes.

    It is UTF-8, numbers are in range, NaN and Infinity are null. Bytes that are not UTF-8 are read as Windows-1252.
    Raises what `fault` makes where even so it is not JSON.
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        decoded = text.decode("cp1252", "replace")
    try:
        value = json.loads(decoded, strict=False, parse_constant=_none, parse_int=_integer, parse_float=_number)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except json.JSONDecodeError as error:
        raise fault(error.msg, start + len(decoded[: error.pos].encode())) from None
    except RecursionError:
        raise fault("nested too deep", start) from None


def _none(_: str) -> None:
    return None


def _integer(digits: str) -> int | float | None:
    return int(digits) if len(digits) < 19 else _number(digits)


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None
